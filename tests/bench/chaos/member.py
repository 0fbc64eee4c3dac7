"""A process of the deployment: started, killed, paused, started again."""

import asyncio
import re
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.bench.chaos.view import Complain
from tests.support.processes import running
from troupe.local.launch import Launch

_END_SECONDS: Final = 30


class Member:
    """One place in the deployment; the process that fills it changes. Hold `busy` while it is to stay down."""

    def __init__(self, role: str, name: str, launch: Launch, *, logs: Path) -> None:
        self.role = role
        self.name = name
        self.busy = asyncio.Lock()
        self.log = logs / f"{name}.log"
        self._launch = launch
        self._stack = ExitStack()
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Starts a process; it may take a moment until it serves."""
        self._stack.close()
        self.process = self._stack.enter_context(running(self._launch, log=self.log))

    def revive(self, complain: Complain) -> None:
        """Starts it again when it has ended by itself, which it never should."""
        if (code := self.process.poll()) is not None:
            complain(f"{self.name} ended by itself with exit code {code}")
            self.start()

    async def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    async def terminate(self) -> int:
        """SIGTERM; the exit code, once it has ended by itself."""
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, _END_SECONDS)

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it for good."""
        self.resume()
        self._stack.close()

    def rss_bytes(self) -> int:
        """Resident memory."""
        return rss_bytes(self.process.pid)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process, from /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    return int(kilobytes) << 10
