"""Small real programs for a supervisor, and a reporter that keeps what it is told."""

import sys
from collections.abc import Callable, Sequence

from troupe.local.launch import Launch
from troupe.local.program import Program

LISTEN = """
import signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""
STUBBORN = LISTEN.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
PARENT = 'import subprocess, sys; subprocess.Popen(["sleep", "987654"]);' + LISTEN.replace(
    "import signal,", "import signal,"
)


def script(code: str, *arguments: str) -> Callable[[], Launch]:
    return lambda: Launch([sys.executable, "-IS", "-c", code, *arguments])


def listener(
    name: str, port: int, *, code: str = LISTEN, needs: Sequence[str] = (), grace_seconds: float = 5
) -> Program:
    return Program(
        name=name,
        address=f"127.0.0.1:{port}",
        kind="tcp",
        make=script(code, str(port)),
        needs=needs,
        grace_seconds=grace_seconds,
    )


class Recorder:
    """A reporter."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def note(self, message: str) -> None:
        self.told.append(("note", message))

    def starting(self, program: Program) -> None:
        self.told.append(("starting", program.name))

    def ready(self, program: Program, seconds: float) -> None:
        self.told.append(("ready", program.name))

    def died(self, program: Program, why: str, restart_seconds: float, log_tail: Sequence[str]) -> None:
        self.told.append(("died", f"{program.name} {why}"))

    def stopped(self, program: Program) -> None:
        self.told.append(("stopped", program.name))

    def line(self, name: str, text: str) -> None:
        self.told.append(("line", f"{name} {text}"))
