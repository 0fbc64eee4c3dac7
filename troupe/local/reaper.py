"""Kills what a killed supervisor left: `python -IS reaper.py`, fed by lines on standard input.

`+PID` and `-PID` name process groups that have started and ended, `~PATTERN` files that no process shall leave.
When the input ends, which is when the supervisor is gone in whatever way, the groups that are left are killed,
grandchildren included, and the files removed.
"""

import contextlib
import glob
import os
import signal
import sys


def main() -> None:
    """Reads until the supervisor is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    patterns: set[str] = set()
    for line in sys.stdin:
        sign, value = line[0], line[1:].rstrip("\n")
        if sign == "~":
            patterns.add(value)
        elif sign == "+":
            groups.add(int(value))
        else:
            groups.discard(int(value))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for pattern in patterns:
        remove(pattern)


def remove(pattern: str) -> None:
    """Removes the files that match."""
    for path in glob.glob(pattern):  # noqa: PTH207 - patterns are absolute
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - pathlib costs 10 ms of each start


if __name__ == "__main__":
    main()
