"""`troupe tasks`."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from troupe.api.orchestrator.v1.task_pb2 import Task, TaskState
from troupe.cli import words
from troupe.cli.console import SafeConsole
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption
from troupe.cli.session import COMPLETED, with_client
from troupe.cli.streams import note, say
from troupe.client import TroupeClient

_STYLES: Final = {
    TaskState.TASK_STATE_RUNNING: "cyan",
    TaskState.TASK_STATE_COMPLETED: "green",
    TaskState.TASK_STATE_FAILED: "red",
    TaskState.TASK_STATE_CANCELLED: "yellow",
}
_STATES: Final = {name: state for state, name in words.TASK_STATES.items()}
_LARGEST_PAGE: Final = 1000
_HEADER: Final = ("task", "state", "submitted", "took", "request")
_LEAST_REQUEST: Final = 8


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
        elif not tasks:
            note('no tasks yet: start one with troupe run "…"')
        elif (console := SafeConsole()).is_terminal:
            print_table(tasks, console)
        else:
            for task in tasks:
                say("\t".join(_cells(task)))
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


def print_table(tasks: Sequence[Task], console: Console) -> None:
    """One line a task; only the request is cut, for the id is what other commands take."""
    rows = [_HEADER, *map(_cells, tasks)]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(_HEADER) - 1)]
    styles = ["", *(_STYLES.get(task.state, "") for task in tasks)]
    for row, style in zip(rows, styles, strict=True):
        line = _line(row, widths, style)
        line.truncate(max(console.width, line.cell_len - cell_len(row[-1]) + _LEAST_REQUEST), overflow="ellipsis")
        console.print(line, soft_wrap=True)


def _line(row: Sequence[str], widths: Sequence[int], style: str) -> Text:
    task_id, state, submitted, took, request = row
    line = Text(f"{set_cell_size(task_id, widths[0])}  ")
    line.append(f"{set_cell_size(state, widths[1])}  ", style)
    line.append(f"{set_cell_size(submitted, widths[2])}  {' ' * (widths[3] - cell_len(took))}{took}  {request}")
    if row is _HEADER:
        line.stylize("dim")
    return line


def _cells(task: Task) -> tuple[str, str, str, str, str]:
    state = words.TASK_STATES.get(task.state, "?")
    submitted = task.create_time.ToDatetime().strftime("%m-%d %H:%M:%S") if task.HasField("create_time") else ""
    return task.task_id, state, submitted, words.task_duration(task), " ".join(task.spec.input.split())
