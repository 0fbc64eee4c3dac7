"""One stack a data directory, and who runs it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from troupe.local.errors import StackError

_LOCK: Final = "lock"
# In the status of a process (proc(5)): the fields behind the command's name, of which the 20th is when it started.
_STARTED: Final = 19


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the data directory for this process; the kernel lets go of it however the process ends.

    Raises:
        StackError: another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StackError(
            f"data directory {str(folder)!r} cannot be used: {error.strerror}; name another with --data-dir"
        ) from None
    try:
        _acquire(descriptor, folder)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(folder: Path) -> int | None:
    """The process that runs a stack on the data directory, if one does.

    The number alone would not do: after a crash of the machine another process may have it.
    """
    try:
        pid, started = (folder / _LOCK).read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if pid.isdigit() and _started(int(pid)) == started else None


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[_STARTED]


def _acquire(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 64, 0).decode(errors="replace").partition(" ")[0].strip() or "unknown"
        raise StackError(
            f"a stack already runs on {str(folder)!r} (pid {owner}): stop it, or name another folder with --data-dir"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {_started(os.getpid())}\n".encode(), 0)
