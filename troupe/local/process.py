"""One process: started in a group of its own, its output kept, all of its group ended."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from troupe.local import tethered
from troupe.local.launch import Launch
from troupe.local.reaping import Reaper

_CHUNK_BYTES: Final = 65_536


class Process:
    """A running child. `wait` returns when it has ended and nothing of its group is left."""

    def __init__(self, child: asyncio.subprocess.Process, *, reaper: Reaper) -> None:
        self._child = child
        self._reaper = reaper
        self.pid = child.pid
        reaper.add(child.pid)

    @classmethod
    async def start(cls, launch: Launch, *, env: Mapping[str, str], reaper: Reaper) -> "Process":
        """Starts a command with its output on a pipe."""
        argv = [sys.executable, "-IS", str(Path(tethered.__file__)), str(os.getpid()), *launch.argv]
        child = await asyncio.create_subprocess_exec(
            *argv,
            env={**env, **launch.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(child, reaper=reaper)

    async def wait(self, log: Path, on_line: Callable[[str], None]) -> str:
        """Keeps the output until the process has ended; returns how it ended, in words."""
        async with asyncio.TaskGroup() as group:
            copying = group.create_task(self._copy_output(log, on_line))
            code = await self._child.wait()
            self.kill()  # grandchildren may hold the pipe
            self._reaper.discard(self.pid)
            await copying
        return _describe(code)

    def terminate(self) -> None:
        """Asks the process to end."""
        with contextlib.suppress(ProcessLookupError):
            self._child.terminate()

    def kill(self) -> None:
        """Ends the whole group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _copy_output(self, log: Path, on_line: Callable[[str], None]) -> None:
        pipe = self._child.stdout
        assert pipe is not None
        rest = b""
        with log.open("ab", buffering=0) as file:
            while chunk := await pipe.read(_CHUNK_BYTES):
                with contextlib.suppress(OSError):  # a full disk must not block the process
                    file.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[-_CHUNK_BYTES:]
                for line in lines:
                    on_line(line.decode(errors="replace"))


def _describe(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
