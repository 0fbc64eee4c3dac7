"""Keeps what stands in a data directory from other users of the machine."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from troupe.local.errors import StackError

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
# What `troupe up` makes in a data directory.
_OURS: Final = frozenset({"lock", "logs", "milvus", "models", "ports.json", "redis", "run", "stack.json", "triton"})


@contextmanager
def private_files() -> Iterator[None]:
    """What this process and its children create inside the block is for their own user only."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def make_private(folder: Path) -> Sequence[str]:
    """Takes everyone else's rights from a data directory; returns what the person should know about it.

    A folder that holds other things as well keeps its mode: only what is a stack's in it is closed.

    Raises:
        StackError: something of the stack's in it belongs to another user, who could exchange it.
    """
    notes: list[str] = []
    with os.scandir(folder) as entries:
        found = list(entries)
    ours = [entry for entry in found if entry.name in _OURS]
    for entry in ours:
        notes += _owned_by_another(Path(entry.path), entry.stat(follow_symlinks=False).st_uid)
    still_open = [path for entry in ours for path in close_to_others(Path(entry.path))]
    mode = folder.stat().st_mode
    if len(ours) == len(found):
        still_open += _close(folder, mode)
    elif mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        notes.append(f"other users can write into {str(folder)!r}: `chmod go-w` it, or name another with --data-dir")
    if still_open:
        notes.append(f"other users may read {str(still_open[0])!r}: its rights cannot be changed")
    return notes


def close_to_others(path: Path) -> Sequence[Path]:
    """Takes everyone else's rights from a file, or from a folder and all that is in it; links are left alone.

    Returns what cannot be closed. What a server removes meanwhile is no fault.
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return ()
        still_open = [*_close(path, mode)]
        if stat.S_ISDIR(mode):
            with os.scandir(path) as entries:
                for entry in entries:
                    still_open += close_to_others(Path(entry.path))
    except FileNotFoundError:
        return ()
    except OSError:  # a folder that its owner may not read
        return (path,)
    return still_open


def _close(path: Path, mode: int) -> Sequence[Path]:
    if not mode & _OTHERS:
        return ()
    try:
        path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
    except FileNotFoundError:
        return ()
    except OSError:  # a file system without modes, or a file of another user
        return (path,)
    return ()


def _owned_by_another(path: Path, owner: int) -> Sequence[str]:
    """For root a note: it may run on what another user's stack left."""
    if owner == os.geteuid():
        return ()
    problem = f"{str(path)!r} belongs to another user (uid {owner})"
    if os.geteuid() != 0:
        raise StackError(f"{problem}: name another folder with --data-dir")
    return (f"{problem}, who can change it",)
