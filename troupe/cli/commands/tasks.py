"""`troupe tasks`."""

from collections.abc import Sequence
from datetime import UTC, datetime
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
from troupe.cli.specifying import parse_labels, parse_moment
from troupe.cli.streams import note, say
from troupe.cli.task_filter import Wanted, newest
from troupe.client import TroupeClient
from troupe.core.nearest import suggestion

_STYLES: Final = {
    TaskState.TASK_STATE_RUNNING: "cyan",
    TaskState.TASK_STATE_COMPLETED: "green",
    TaskState.TASK_STATE_FAILED: "red",
    TaskState.TASK_STATE_CANCELLED: "yellow",
}
_STATES: Final = {name: state for state, name in words.TASK_STATES.items()}
_HEADER: Final = ("task", "state", "submitted", "took", "request")
_LEAST_REQUEST: Final = 8


def command(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most tasks to list.")] = 20,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help=f"Only tasks that are {', '.join(_STATES)}; repeatable.", show_default=False),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="KEY=VALUE", help="Only tasks with this label; repeatable.", show_default=False
        ),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Only those submitted since: 2h, 7d, 2026-01-31T12:00.")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Only those submitted until then.")] = "",
    as_json: JsonOption = False,
    target: TargetOption = None,
) -> None:
    """List tasks, newest first."""
    unknown = [name for name in state or () if name not in _STATES]
    if unknown:
        problem = f"{unknown[0]!r} is none of {', '.join(_STATES)}; {suggestion(unknown[0], _STATES)}"
        raise typer.BadParameter(problem, param_hint="--state")
    now = datetime.now(UTC)
    wanted = Wanted(
        states=[_STATES[name] for name in state or ()],
        labels=parse_labels(labels or []),
        since=parse_moment(since, option="--since", now=now) if since else None,
        until=parse_moment(until, option="--until", now=now) if until else None,
    )

    async def work(client: TroupeClient) -> int:
        tasks = await newest(client, limit, wanted)
        if as_json:
            for task in tasks:
                print_json(task)
        elif not tasks:
            note("no such tasks" if wanted != Wanted() else 'no tasks yet: start one with troupe run "…"')
        elif (console := SafeConsole()).is_terminal:
            print_table(tasks, console)
        else:
            for task in tasks:
                say("\t".join(_cells(task)))
        return COMPLETED

    with_client(target, work)


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
