"""The ways to the backend: with nothing between, through Envoy, through Troupe's gateway."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.gateway import cores, envoy
from tests.bench.gateway.lines import Http1Line, Http2Line, Wire, connect
from tests.support.processes import running
from troupe.local.launch import Launch, free_port

DIRECT, ENVOY, TROUPE = "direct", "Envoy", "Troupe"
HTTP1, HTTP2 = "HTTP/1.1", "HTTP/2"
STREAMS_PER_CONNECTION: Final = 64
_QUIET_US: Final = 2_500  # of CPU in 50 ms
_SETTLE_SECONDS: Final = 10.0

WEB: Final[Mapping[str, Wire]] = {
    HTTP1: Wire(Http1Line, 1),
    HTTP2: Wire(partial(Http2Line, web=True), STREAMS_PER_CONNECTION),
}
GRPC: Final[Mapping[str, Wire]] = {
    HTTP1: Wire(partial(Http2Line, web=False), 1),
    HTTP2: Wire(partial(Http2Line, web=False), STREAMS_PER_CONNECTION),
}
"""What a client without a proxy speaks, on as many connections."""


@dataclass(frozen=True)
class Process:
    """A process that is measured."""

    port: int
    pid: int

    def cpu_us(self) -> float:
        """Microseconds of CPU that its threads have used."""
        total = 0
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                total += int((thread / "schedstat").read_text().split()[0])
        return total / 1000

    def resident_bytes(self) -> int:
        """Memory of it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def settle(self) -> None:
        """Returns when it has nothing left to do, as after many connections were closed."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        used = self.cpu_us()
        while True:
            time.sleep(0.05)
            before, used = used, self.cpu_us()
            if used - before < _QUIET_US:
                return
            assert time.monotonic() < deadline, "the process does not come to rest"


@dataclass(frozen=True)
class Door:
    """One of the ways; `launch` is None where nothing stands between."""

    name: str
    wires: Mapping[str, Wire]
    launch: Callable[[int, int], Launch] | None = field(default=None)

    @contextmanager
    def open(self, folder: Path) -> Iterator[Process]:
        """Starts a backend, and the proxy before it on a core of its own; yields what clients connect to."""
        with _started(_backend, folder, core=cores.LOAD) as backend:
            if self.launch is None:
                yield backend
            else:
                with _started(partial(self.launch, backend.port), folder, core=cores.PROXY) as proxy:
                    yield proxy


def direct() -> Door:
    """gRPC with the backend itself: what client and backend can do."""
    return Door(DIRECT, GRPC)


def troupe() -> Door:
    """`python -m troupe.gateway`."""
    return Door(TROUPE, WEB, _troupe)


def through_envoy(program: Path, folder: Path) -> Door:
    """Envoy with one worker thread."""

    def launch(backend_port: int, port: int) -> Launch:
        return Launch(envoy.command(program, folder / "envoy.json", port=port, backend_port=backend_port))

    return Door(ENVOY, WEB, launch)


def _troupe(backend_port: int, port: int) -> Launch:
    env = {
        "TROUPE_GATEWAY__LISTEN": f"127.0.0.1:{port}",
        "TROUPE_GATEWAY__BACKENDS": f'["127.0.0.1:{backend_port}"]',
        "TROUPE_GATEWAY__ACCESS_LOG": "false",
        "TROUPE_LOG__LEVEL": "warning",
    }
    return Launch([sys.executable, "-m", "troupe.gateway"], env)


def _backend(port: int) -> Launch:
    return Launch([sys.executable, "-m", "tests.support.fast_backend", str(port)])


@contextmanager
def _started(launch: Callable[[int], Launch], folder: Path, *, core: int) -> Iterator[Process]:
    port = free_port()
    with ExitStack() as stack:
        with cores.pinned(core):
            process = stack.enter_context(running(launch(port), log=folder / "processes.log"))
        connect(port).close()
        yield Process(port, process.pid)
