"""Half an hour of everything that clients do, against a real gateway in front of a real backend.

    python -m tests.bench.soak [--minutes 30] [--http2]

Clients call, read streams slowly, leave in the middle, vanish, and send garbage; the backend is killed every minute.
Ends with exit code 1 when memory or open files grow, or when anything is left over in the end.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Final

from tests.bench.soak.load import Load
from tests.bench.soak.sessions import Connect, http1, http2
from tests.bench.soak.verdict import End, Sample, verdict
from tests.support.gateway import call
from tests.support.processes import reached, running, until
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.local.launch import Launch, free_port

_GRACE_SECONDS: Final = 10
_RESTART_SECONDS: Final = 60
_ESTABLISHED: Final = "01"


class Gateway:
    """The process that is watched."""

    def __init__(self, address: str, process: "Popen[bytes]") -> None:
        self.address = address
        self.process = process
        self._port = f":{int(address.rpartition(':')[2]):04X}"

    @property
    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    @property
    def files(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    @property
    def connections(self) -> int:
        """Those of clients, as the kernel sees them."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(1 for row in rows if row[1].endswith(self._port) and row[3] == _ESTABLISHED)

    def sample(self, began: float, open_calls: int) -> Sample:
        return Sample(time.monotonic() - began, self.rss_bytes, self.files, self.connections, open_calls)


def main() -> int:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--http2", action="store_true", help="clients speak HTTP/2, by prior knowledge")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(soak(arguments.minutes * 60, http2 if arguments.http2 else http1, Path(folder)))


async def soak(seconds: float, connect: Connect, folder: Path) -> int:
    """The exit code."""
    backend = f"127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        restart = stack.enter_context(backends(backend, folder))
        gateway = stack.enter_context(gateway_process(backend, folder))
        await until(lambda: _answers(gateway.address), timeout_seconds=30)
        await _check_protocol(gateway.address, connect)
        files_before = gateway.files
        load = Load(gateway.address, connect)
        async with load.running():
            samples = await _watch(gateway, load, seconds, restart)
        await _settled(gateway, files_before)
        files_after, connections_after, stopping = gateway.files, gateway.connections, time.monotonic()
        gateway.process.terminate()
        await asyncio.to_thread(gateway.process.wait, 2 * _GRACE_SECONDS)
        end = End(files_before, files_after, connections_after, time.monotonic() - stopping)
    lines, problems = verdict(samples, end, grace_seconds=_GRACE_SECONDS)
    problems += [f"{what}: {count} times" for what, count in load.unexpected.items()]
    print(", ".join(f"{what} {count:,}" for what, count in sorted(load.outcomes.items())))
    print("\n".join(lines))
    print("\n".join(["FAILED", *problems]) if problems else "the gateway stays as it is")
    return 1 if problems else 0


async def _watch(gateway: Gateway, load: Load, seconds: float, restart: "Restart") -> list[Sample]:
    print(f"{'minute':>6} {'RSS MiB':>8} {'open calls':>11} {'connections':>12} {'files':>6} {'calls so far':>13}")
    samples: list[Sample] = []
    began = printed = restarted = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        assert gateway.process.poll() is None, "the gateway has ended"
        samples.append(gateway.sample(began, load.open_calls))
        if now - printed >= 60:
            printed = now
            _print(samples[-1], load)
        if now - restarted >= _RESTART_SECONDS:
            restarted = now
            restart()
        await asyncio.sleep(0.5)
    _print(samples[-1], load)
    return samples


def _print(sample: Sample, load: Load) -> None:
    print(
        f"{sample.at_seconds / 60:6.1f} {sample.rss_bytes / (1 << 20):8.1f} {sample.open_calls:11} "
        f"{sample.connections:12} {sample.files:6} {sum(load.outcomes.values()):13,}",
        flush=True,
    )


async def _settled(gateway: Gateway, files: int) -> None:
    """Waits until the gateway has seen that its clients are gone; if it never does, the verdict says so."""
    try:
        await reached(lambda: gateway.connections == 0 and gateway.files <= files, timeout_seconds=10)
    except AssertionError:
        return


async def _answers(address: str) -> bool:
    return (await call(address, "GetTask", pb.GetTaskRequest(task_id="a"))).grpc_status == 0


async def _check_protocol(address: str, connect: Connect) -> None:
    try:
        async with asyncio.timeout(5), connect(address) as session:
            async for _ in session.call("GetTask", pb.GetTaskRequest(task_id="a")):
                pass
    except (OSError, EOFError, TimeoutError) as error:
        sys.exit(f"the gateway does not speak this version of HTTP: {error!r}")


class Restart:
    """Kills the backend and starts it again at the same address."""

    def __init__(self, address: str, folder: Path) -> None:
        self._launch = Launch([sys.executable, "-m", "tests.support.echo", address.rpartition(":")[2]])
        self._log = folder / "backend.log"
        self._stack = ExitStack()
        self._process: Popen[bytes] | None = None

    def __call__(self) -> None:
        if self._process is not None:
            self._process.kill()
        self.close()
        self._process = self._stack.enter_context(running(self._launch, log=self._log))

    def close(self) -> None:
        """Kills it."""
        self._stack.close()


@contextmanager
def backends(address: str, folder: Path) -> Iterator[Restart]:
    """A backend inside the block."""
    restart = Restart(address, folder)
    restart()
    try:
        yield restart
    finally:
        restart.close()


@contextmanager
def gateway_process(backend: str, folder: Path) -> Iterator[Gateway]:
    """A gateway inside the block."""
    address = f"127.0.0.1:{free_port()}"
    env = {
        "TROUPE_GATEWAY__LISTEN": address,
        "TROUPE_GATEWAY__BACKENDS": f'["{backend}"]',
        "TROUPE_GATEWAY__GRACE_SECONDS": str(_GRACE_SECONDS),
        "TROUPE_LOG__LEVEL": "warning",
    }
    with running(Launch([sys.executable, "-m", "troupe.gateway"], env), log=folder / "gateway.log") as process:
        yield Gateway(address, process)


if __name__ == "__main__":
    sys.exit(main())
