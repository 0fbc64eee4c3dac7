"""The supervisor's side of the reaper."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from troupe.local import reaper


class Reaper:
    """Knows which process groups run, so that they end with the supervisor even when it is killed."""

    def __init__(self, pipe: asyncio.StreamWriter) -> None:
        self._pipe = pipe

    def add(self, group: int) -> None:
        """A process group has started."""
        self._pipe.write(f"+{group}\n".encode())

    def discard(self, group: int) -> None:
        """A process group has ended."""
        self._pipe.write(f"-{group}\n".encode())

    def remove_at_end(self, pattern: str) -> None:
        """Files that match shall not outlive the supervisor."""
        self._pipe.write(f"~{pattern}\n".encode())


@asynccontextmanager
async def reaping() -> AsyncIterator[Reaper]:
    """Runs a reaper beside the block."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-IS", str(Path(reaper.__file__)), stdin=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert child.stdin is not None
    try:
        yield Reaper(child.stdin)
    finally:
        child.stdin.close()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await child.stdin.wait_closed()
        await child.wait()
