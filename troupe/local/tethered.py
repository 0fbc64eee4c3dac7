"""Runs a program that dies with its parent: `python -IS tethered.py PARENT_PID PROGRAM ARGUMENT…`.

The kernel keeps the wish across `exec` (prctl(2), PR_SET_PDEATHSIG). A program of its own rather than a function
between fork and exec, because the parent has threads. Imports are few: every start of a process pays for them.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Becomes the program."""
    parent, *argv = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the wish was heard
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is meant
    except OSError as error:
        sys.exit(f"{argv[0]!r} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main()
