"""`troupe logs`."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

import typer

from troupe.cli.options import DataDirOption
from troupe.cli.session import COMPLETED, finish
from troupe.cli.streams import say_line
from troupe.local.errors import StackError
from troupe.local.log_tail import LogTail, log_files
from troupe.local.settings import LocalSettings

_POLL_SECONDS: Final = 0.2


def command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Processes; else all.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of each log.")] = 20,
    data_dir: DataDirOption = None,
) -> None:
    """Show what the processes of the local stack print."""

    async def work() -> int:
        tails = _tails(LocalSettings.in_folder(data_dir), names or [])
        for name, tail in tails.items():
            _show(name, tail.last(lines), among=tails)
        while follow:
            await asyncio.sleep(_POLL_SECONDS)
            for name, tail in tails.items():
                _show(name, tail.added(), among=tails)
        return COMPLETED

    finish(work())


def _tails(settings: LocalSettings, names: Sequence[str]) -> Mapping[str, LogTail]:
    files = log_files(settings.folder)
    if not files:
        raise StackError(f"no logs in {str(settings.folder)!r}: start a stack with `troupe up`, or name --data-dir")
    if unknown := [name for name in names if name not in files]:
        raise StackError(f"no log of {unknown[0]!r}: there are {', '.join(files)}")
    return {name: LogTail(files[name]) for name in names or files}


def _show(name: str, lines: Iterable[str], *, among: Mapping[str, LogTail]) -> None:
    """Lines of one log as they are; of several with the name before each."""
    width = max(map(len, among))
    for line in lines:
        say_line(line if len(among) == 1 else f"{name:<{width}} │ {line}")
