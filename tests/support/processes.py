"""Real processes for tests: started, waited for, killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from troupe.local.launch import Launch

READY_TIMEOUT_SECONDS = 60.0


@contextlib.contextmanager
def running(launch: Launch, *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process in a session of its own, its output in `log`; ends it and its children at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            launch.argv, env={**os.environ, **launch.env}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], *, grace_seconds: float = 10) -> None:
    """SIGTERM, then SIGKILL for what is left of the session."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
    """Polls until the condition holds; fails when it does not in time. A refused connection counts as not yet."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        with contextlib.suppress(OSError):
            if await condition():
                return
        assert time.monotonic() < deadline, f"not reached within {timeout_seconds} s: {condition}"
        await asyncio.sleep(0.02)


async def reached(condition: Callable[[], bool], *, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
    """The same for a condition over what this process knows already."""

    async def holds() -> bool:
        return condition()

    await until(holds, timeout_seconds=timeout_seconds)
