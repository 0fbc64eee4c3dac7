"""Stops the stack of a data directory from outside."""

import os
import select
import signal
from enum import Enum
from pathlib import Path
from typing import Final

from troupe.local.errors import StackError
from troupe.local.lock import holder

_KILL_SECONDS: Final = 10.0


class Outcome(Enum):
    """How it went."""

    NOT_RUNNING = "not running"
    STOPPED = "stopped"
    KILLED = "killed"


def stop_stack(folder: Path, *, timeout_seconds: float) -> Outcome:
    """Has it stop everything in order; when that takes longer than allowed, at once.

    Raises:
        StackError: it is another user's, or does not end at all.
    """
    if (pid := holder(folder)) is None:
        return Outcome.NOT_RUNNING
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return Outcome.NOT_RUNNING
    try:
        return _stop(process, pid, timeout_seconds)
    except ProcessLookupError:
        return Outcome.STOPPED
    except PermissionError:
        raise StackError(f"the stack of {str(folder)!r} (pid {pid}) is run by another user") from None
    finally:
        os.close(process)


def _stop(process: int, pid: int, timeout_seconds: float) -> Outcome:
    signal.pidfd_send_signal(process, signal.SIGTERM)
    if _ends(process, timeout_seconds):
        return Outcome.STOPPED
    signal.pidfd_send_signal(process, signal.SIGTERM)  # a second one ends its processes at once
    if _ends(process, _KILL_SECONDS):
        return Outcome.KILLED
    raise StackError(f"process {pid} does not end: `kill -9 {pid}` ends it and what it has started")


def _ends(process: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
