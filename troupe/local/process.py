"""One process: started in a group of its own, its output kept, all of its group ended."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from troupe.local import tethered
from troupe.local.launch import Launch
from troupe.local.reaping import Reaper

_CHUNK_BYTES: Final = 65_536
_DRAIN_SECONDS: Final = 2.0


class Process:
    """A running child. `wait` returns when it has ended and nothing of its group is left."""

    def __init__(self, child: asyncio.subprocess.Process, output: int, *, reaper: Reaper) -> None:
        """`output` is the reading end of the pipe that the child writes to."""
        self._child = child
        self._output = output
        self._reaper = reaper
        self.pid = child.pid
        reaper.add(child.pid)

    @classmethod
    async def start(cls, launch: Launch, *, env: Mapping[str, str], reaper: Reaper) -> "Process":
        """Starts a command with its output on a pipe."""
        argv = [sys.executable, "-IS", str(Path(tethered.__file__)), str(os.getpid()), *launch.argv]
        # A pipe of our own: asyncio waits for the end of its pipes, which grandchildren hold, before it
        # tells that the child has ended (python/cpython#119710).
        output, child_output = os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                *argv,
                env={**env, **launch.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=child_output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(child_output)
        return cls(child, output, reaper=reaper)

    async def wait(self, log: Path, on_line: Callable[[str], None]) -> str:
        """Keeps the output until the process has ended; returns how it ended, in words."""
        async with asyncio.TaskGroup() as group:
            copying = group.create_task(self._copy_output(log, on_line))
            code = await self._child.wait()
            self.kill()  # grandchildren may hold the pipe
            self._reaper.discard(self.pid)
            await asyncio.wait([copying], timeout=_DRAIN_SECONDS)
            copying.cancel()  # the pipe is held from outside the group
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
        pipe = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(pipe), os.fdopen(self._output, "rb", buffering=0)
        )
        rest = b""
        with log.open("ab", buffering=0) as file, closing(transport):
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
