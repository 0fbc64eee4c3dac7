"""`troupe tasks`."""

from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from troupe.api.orchestrator.v1.task_pb2 import Task, TaskState
from troupe.cli import words
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption
from troupe.cli.session import COMPLETED, with_client
from troupe.client import TroupeClient

_STYLES: Final = {
    TaskState.TASK_STATE_RUNNING: "cyan",
    TaskState.TASK_STATE_COMPLETED: "green",
    TaskState.TASK_STATE_FAILED: "red",
    TaskState.TASK_STATE_CANCELLED: "yellow",
}
_STATES: Final = {name: state for state, name in words.TASK_STATES.items()}
_LARGEST_PAGE: Final = 1000


def command(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most tasks to list.")] = 20,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help=f"Only tasks that are {', '.join(_STATES)}.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    target: TargetOption = None,
) -> None:
    """List tasks, newest first."""
    unknown = [name for name in state or () if name not in _STATES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(_STATES)}", param_hint="--state")

    async def work(client: TroupeClient) -> int:
        tasks = await _newest(client, limit, [_STATES[name] for name in state or ()])
        if as_json:
            for task in tasks:
                print_json(task)
        elif tasks:
            _print_table(tasks)
        else:
            print('no tasks yet: start one with troupe run "…"')
        return COMPLETED

    with_client(target, work)


async def _newest(client: TroupeClient, limit: int, states: list["TaskState.ValueType"]) -> list[Task]:
    tasks: list[Task] = []
    token = ""
    while len(tasks) < limit:
        page_size = min(_LARGEST_PAGE, limit - len(tasks))
        page = await client.list_tasks(page_size=page_size, page_token=token, states=states)
        tasks.extend(page.tasks)
        token = page.next_page_token
        if not token:
            break
    return tasks[:limit]


def _print_table(tasks: list[Task]) -> None:
    console = Console()
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("task", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("submitted", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("request", no_wrap=True, overflow="ellipsis", ratio=1)
    for task in tasks:
        state = Text(words.TASK_STATES.get(task.state, "?"), style=_STYLES.get(task.state, ""))
        submitted = task.create_time.ToDatetime().strftime("%m-%d %H:%M:%S") if task.HasField("create_time") else ""
        request = " ".join(task.spec.input.split())
        table.add_row(task.task_id, state, submitted, words.task_duration(task), Text(request))
    console.print(table)
