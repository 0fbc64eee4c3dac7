"""`stack.json`: what runs where, for scripts."""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_NAME: Final = "stack.json"


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the stack; `pid` is None for a server that ran before."""

    pid: int | None
    address: str


def stack_path(folder: Path) -> Path:
    """The file of a data directory."""
    return folder / _NAME


def write_stack(folder: Path, members: Mapping[str, Member]) -> None:
    """Replaces the file at once."""
    path = stack_path(folder)
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    fresh.write_text(json.dumps({name: asdict(member) for name, member in members.items()}, indent=2) + "\n")
    fresh.replace(path)


def read_stack(folder: Path) -> dict[str, Member]:
    """The members; empty when no stack runs there or the file cannot be read."""
    try:
        members = {name: Member(**value) for name, value in json.loads(stack_path(folder).read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return members if any(member.pid and _lives(member.pid) for member in members.values()) else {}


def remove_stack(folder: Path) -> None:
    """Says that nothing runs any more."""
    stack_path(folder).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
