"""One stack a data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from troupe.local.errors import StackError

_LOCK: Final = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the data directory for this process; the kernel lets go of it however the process ends.

    Raises:
        StackError: another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StackError(
            f"data directory {str(folder)!r} cannot be used: {error.strerror}; name another with --data-dir"
        ) from None
    try:
        _acquire(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        raise StackError(
            f"a stack already runs on {str(folder)!r} (pid {owner}): stop it, or name another folder with --data-dir"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
