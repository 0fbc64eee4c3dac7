"""A stack of small programs that holds its data directory: `python -m tests.support.small_stack FOLDER NAME=PORT…`.

Ends on SIGTERM; what ignores it (`stubborn=PORT`) holds it up until a second one.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.support.small_programs import LISTEN, STUBBORN, Recorder, listener
from troupe.local.lock import locked
from troupe.local.program import Program
from troupe.local.supervisor import Supervisor


async def main(folder: Path, *named: str) -> None:
    signals: asyncio.Queue[None] = asyncio.Queue()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signals.put_nowait, None)
    programs = [_program(*pair.split("=")) for pair in named]
    supervisor = Supervisor(
        programs, folder=folder, env=dict(os.environ), reporter=Recorder(), start_seconds=60, log_bytes=1 << 20
    )
    with locked(folder):
        async with supervisor.running():
            await signals.get()
            impatience = asyncio.create_task(_kill_on_signal(signals, supervisor))
        impatience.cancel()


def _program(name: str, port: str) -> Program:
    code = STUBBORN if name == "stubborn" else LISTEN
    return listener(name, int(port), code=code, grace_seconds=600)


async def _kill_on_signal(signals: "asyncio.Queue[None]", supervisor: Supervisor) -> None:
    await signals.get()
    supervisor.kill()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
