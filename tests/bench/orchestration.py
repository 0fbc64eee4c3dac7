"""Orchestration's own overhead: a three-step chain of no-op steps, one at a time, against Celery on the same Redis.

    python -m tests.bench.orchestration [--chains 200] [--rounds 3]

Troupe's figure is from the call of RunTask to its terminal event, over gRPC, with every step a gRPC call to an agent in
a process of its own. Celery's is from apply_async to the result, prefork 2, late acknowledgement, results kept. Both on
one redis-server with the append-only file on, in turns. Celery is installed into a folder of its own.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.engine import Engine, healthy, spec
from tests.support.processes import running
from tests.support.redis import RedisServer
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.local.launch import Launch

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

CHAIN = spec(("a", "noop", "x", []), ("b", "noop", "x", ["a"]), ("c", "noop", "x", ["b"]))
PEER = Path(__file__).parent / "celery_peer"
WARM_UP = 20


async def troupe_latencies(engine: Engine, chains: int) -> tuple[list[float], list[float]]:
    """Milliseconds to the terminal event, and from SubmitTask's answer to the first event, of each chain."""
    async with engine.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        whole = [await _whole(stub) for _ in range(WARM_UP + chains)][WARM_UP:]
        first = [await _first_event(stub) for _ in range(WARM_UP + chains)][WARM_UP:]
    return whole, first


async def _whole(stub: "Stub") -> float:
    began = time.perf_counter()
    async for _ in stub.RunTask(pb.RunTaskRequest(task=CHAIN)):
        pass
    return (time.perf_counter() - began) * 1000


async def _first_event(stub: "Stub") -> float:
    task_id = (await stub.SubmitTask(pb.SubmitTaskRequest(task=CHAIN))).task.task_id
    began = time.perf_counter()
    call = stub.WatchTask(pb.WatchTaskRequest(task_id=task_id))
    async for _ in call:
        break
    elapsed = (time.perf_counter() - began) * 1000
    call.cancel()
    return elapsed


@contextmanager
def celery(redis: RedisServer, folder: Path) -> Iterator[list[str]]:
    """A Celery worker; yields the command of its client."""
    python = folder / "bin" / "python"
    venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "celery[redis]"], check=True)
    env = {"PEER_REDIS": redis.url + "/1", "PYTHONPATH": str(PEER)}
    options = ["--concurrency", "2", "--prefetch-multiplier", "1", "--loglevel", "warning"]
    launch = Launch([str(python), "-m", "celery", "-A", "noop_chain", "worker", *options], env)
    with running(launch, log=folder / "celery.log"):
        command = ["env", *(f"{k}={v}" for k, v in env.items()), str(python), str(PEER / "noop_chain.py")]
        subprocess.run([*command, "20"], check=True, stdout=subprocess.DEVNULL, timeout=60)
        yield command


def celery_latencies(command: Sequence[str], chains: int) -> list[float]:
    """Milliseconds of each chain."""
    printed = subprocess.run([*command, str(chains)], check=True, capture_output=True, text=True).stdout
    return [float(line) for line in printed.split()]


def _row(name: str, values: Sequence[float]) -> str:
    ordered = sorted(values)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"{name:<52}{p50:>10.2f}{p99:>10.2f}"


async def _measure(chains: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis = RedisServer(data_dir=folder)
        redis.start()
        stack.callback(redis.stop)
        engine = Engine(redis, folder, stack=stack)
        noop = Launch([sys.executable, "-m", "tests.bench.noop_agent", engine.agents_address])
        stack.enter_context(running(noop, log=folder / "noop.log"))
        engine.start_orchestrator()
        engine.start_worker()
        await healthy(engine.address)
        command = stack.enter_context(celery(redis, folder / "celery"))
        ours: list[float] = []
        first: list[float] = []
        theirs: list[float] = []
        ratios: list[float] = []
        for _ in range(rounds):
            whole, begun = await troupe_latencies(engine, chains)
            peer = celery_latencies(command, chains)
            ours, first, theirs = ours + whole, first + begun, theirs + peer
            ratios.append(statistics.median(peer) / statistics.median(whole))
    print(f"{'three-step chain of no-op steps, one at a time':<52}{'p50 ms':>10}{'p99 ms':>10}")
    print(_row("troupe: RunTask to its terminal event", ours))
    print(_row("troupe: SubmitTask's answer to the first event", first))
    print(_row("celery: apply_async to the result", theirs))
    print(f"celery's median over troupe's, per round: {', '.join(f'{ratio:.1f}' for ratio in ratios)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments.chains, arguments.rounds))
