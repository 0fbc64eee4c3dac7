"""`stack.json`: what runs where, for scripts and for the commands."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from troupe.local.lock import holder

_NAME: Final = "stack.json"


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the stack, without `pid` when it runs elsewhere; `kind` says how its health is asked for."""

    pid: int | None
    address: str
    kind: str


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
    """The members; empty while there are none, or when the file cannot be read."""
    try:
        return {name: Member(**value) for name, value in json.loads(stack_path(folder).read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def running_stack(folder: Path) -> dict[str, Member]:
    """The members of the stack that runs on a data directory now."""
    return {} if holder(folder) is None else read_stack(folder)


def remove_stack(folder: Path) -> None:
    """Says that nothing runs any more."""
    stack_path(folder).unlink(missing_ok=True)
