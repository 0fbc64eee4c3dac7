"""`troupe status`."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from troupe.cli import words
from troupe.cli.console import SafeConsole
from troupe.cli.options import DataDirOption, JsonOption
from troupe.cli.session import COMPLETED, finish
from troupe.cli.streams import say_line
from troupe.local.lock import holder
from troupe.local.settings import LocalSettings
from troupe.local.stack_file import running_stack
from troupe.local.status import MemberStatus, status_of, up_seconds

_NOT_WELL: Final = 1
_COLUMNS: Final = ("process", "state", "pid", "up", "memory", "address")


def command(as_json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Show how the processes of the local stack are. Ends with 1 unless all of them are well."""

    async def work() -> int:
        folder = LocalSettings.in_folder(data_dir).folder
        pid = holder(folder)
        members = await status_of(running_stack(folder))
        well = bool(members) and not any(status.problem for status in members.values())
        if as_json:
            say_line(json.dumps(_record(folder, pid, members, well=well)))
        else:
            _say(folder, pid, members)
        return COMPLETED if well else _NOT_WELL

    finish(work())


def _record(folder: Path, pid: int | None, members: Mapping[str, MemberStatus], *, well: bool) -> Mapping[str, object]:
    return {
        "data_dir": str(folder),
        "version": version("troupe"),
        "running": pid is not None,
        "healthy": well,
        "pid": pid,
        "members": {
            name: {
                "pid": status.member.pid,
                "address": status.member.address,
                "healthy": not status.problem,
                "problem": status.problem or None,
                "up_seconds": None if status.up_seconds is None else round(status.up_seconds, 1),
                "memory_bytes": status.memory_bytes,
            }
            for name, status in members.items()
        },
    }


def _say(folder: Path, pid: int | None, members: Mapping[str, MemberStatus]) -> None:
    if pid is None:
        say_line(f"nothing runs in {folder}: start a stack with `troupe up`, or name another with --data-dir")
        return
    up = words.duration(up_seconds(pid) or 0)
    if not members:
        say_line(f"the stack of {folder} (pid {pid}) is starting or stopping, for {up} now")
        return
    say_line(f"the stack of {folder}: troupe {version('troupe')}, pid {pid}, up for {up}")
    rows = {name: _cells(name, status) for name, status in members.items()}
    if (console := SafeConsole()).is_terminal:
        console.print(_table(rows, members))
    else:
        for row in rows.values():
            say_line("\t".join(row))


def _cells(name: str, status: MemberStatus) -> tuple[str, ...]:
    return (
        name,
        status.problem or "healthy",
        str(status.member.pid or ""),
        "" if status.up_seconds is None else words.duration(status.up_seconds),
        "" if status.memory_bytes is None else f"{status.memory_bytes / (1 << 20):.0f} MiB",
        status.member.address,
    )


def _table(rows: Mapping[str, tuple[str, ...]], members: Mapping[str, MemberStatus]) -> Table:
    table = Table(*_COLUMNS, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name, (process, state, *rest) in rows.items():
        style = "red" if members[name].problem else "green"
        table.add_row(Text(process), Text(state, style=style), *map(Text, rest))
    return table
