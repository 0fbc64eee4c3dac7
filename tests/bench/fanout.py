"""Watching at scale: thousands of streams of one orchestrator, live and replayed.

    python -m tests.bench.fanout [--seconds 8] [--only NAME]

Real Redis, orchestrator, worker. The worker starts each task's step, whose agent then waits; a process of its own
appends the events, by the same script operation as the worker, so that on a small machine the rate does not depend on
agents (tests/bench/event_load.py). Another watches over bare HTTP/2 (tests/bench/watch_client.py). Delay is from just
before the append to the arrival of the bytes; CPU and memory are those of the orchestrator.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import uvloop

from tests.bench.event_load import BULK_EVENTS
from tests.support.engine import Engine, healthy, spec
from tests.support.processes import running, until
from tests.support.redis import RedisServer
from troupe.agent import AgentServicer
from troupe.api.agent.v1 import agent_service_pb2
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.logs import LogSettings, configure
from troupe.core.server import Drain, ServerSettings, serving
from troupe.local.launch import Launch

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


@dataclass(frozen=True)
class Scenario:
    """So many tasks, watchers of each, events a second of each."""

    name: str
    tasks: int
    watchers_each: int
    rate_each: float

    @property
    def watchers(self) -> int:
        return self.tasks * self.watchers_each


SCENARIOS = (
    Scenario("a", tasks=500, watchers_each=10, rate_each=0.4),
    Scenario("a, a task each", tasks=5_000, watchers_each=1, rate_each=0.4),
    Scenario("b, 100 tasks", tasks=100, watchers_each=10, rate_each=30),
    Scenario("b, one task", tasks=1, watchers_each=1_000, rate_each=30),
)


class StillAgents:
    """One agent that says nothing."""

    def __init__(self) -> None:
        self.running = 0

    def descriptors(self) -> Sequence[agent_service_pb2.AgentDescriptor]:
        return [agent_service_pb2.AgentDescriptor(name="still", max_concurrency=100_000)]

    async def execute(
        self, step: agent_service_pb2.ExecuteRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[agent_service_pb2.ExecuteResponse, None]:
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1
        yield agent_service_pb2.ExecuteResponse()


class Client:
    """The process that watches."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    async def ask(self) -> dict[str, float]:
        """What came since the last time."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        answer: dict[str, float] = json.loads(await asyncio.to_thread(self._process.stdout.readline))
        return answer


@dataclass(frozen=True)
class Bench:
    """The processes under test."""

    folder: Path
    engine: Engine
    server: "subprocess.Popen[bytes]"
    agents: StillAgents
    channel: grpc.aio.Channel

    async def submit(self, count: int) -> Path:
        """Tasks that run; their ids in a file."""
        before = self.agents.running
        request = pb.SubmitTaskRequest(task=spec(("s", "still", "x", [])))
        ids = []
        stub: Stub = OrchestratorServiceStub(self.channel)
        for start in range(0, count, 100):
            calls = [stub.SubmitTask(request) for _ in range(min(100, count - start))]
            ids += [response.task.task_id for response in await asyncio.gather(*calls)]

        async def running() -> bool:
            return self.agents.running - before == count

        await until(running)
        path = self.folder / f"tasks{time.monotonic_ns()}"
        path.write_text(" ".join(ids))
        return path

    @contextmanager
    def client(self, tasks: Path, watchers: int, after: int = 0) -> Iterator[Client]:
        """Opens the streams, all at once."""
        module = [sys.executable, "-m", "tests.bench.watch_client"]
        argv = [*module, self.engine.address, str(tasks), str(watchers), str(after)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                yield Client(process)
            finally:
                process.kill()

    @asynccontextmanager
    async def load(self, tasks: Path, per_second: float, seconds: float) -> AsyncIterator[None]:
        """Appends events beside the block, which begins when it does; waits for the end."""
        argv = [sys.executable, "-m", "tests.bench.event_load", self.engine.redis.url, str(tasks)]

        with subprocess.Popen([*argv, str(per_second), str(seconds)], stdout=subprocess.PIPE) as process:  # noqa: ASYNC220 - asyncio's forks inside gRPC
            assert process.stdout
            await asyncio.to_thread(process.stdout.readline)
            yield
            code = await asyncio.to_thread(process.wait)
            assert code == 0, f"the load ended with {code}"

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kb(self) -> int:
        lines = Path(f"/proc/{self.server.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


WATCH = "/troupe.api.orchestrator.v1.OrchestratorService/WatchTask"
_SETTLE_SECONDS = 2
_OPEN_SECONDS = 30
HEADER = ("scenario", "watchers", "live", "cut", "open s", "KB each", "ev/s", "ev/msg", "p50 ms", "p99 ms", "max ms",
          "us/ev", "server %", "client %")  # fmt: skip


async def live(bench: Bench, scenario: Scenario, seconds: float) -> Sequence[object]:
    """One row of the table."""
    tasks = await bench.submit(scenario.tasks)
    before_kb = bench.resident_kb()
    with bench.client(tasks, scenario.watchers) as client:
        opened = await _open(client, scenario.watchers)
        async with bench.load(tasks, scenario.rate_each * scenario.tasks, _SETTLE_SECONDS + seconds + 0.5):
            await asyncio.sleep(_SETTLE_SECONDS)
            before, cpu, began = await client.ask(), bench.cpu_seconds(), time.monotonic()
            await asyncio.sleep(seconds)
            after, cpu, elapsed = await client.ask(), bench.cpu_seconds() - cpu, time.monotonic() - began
        each_kb = (bench.resident_kb() - before_kb) / scenario.watchers
    events, client_cpu = after["events"], after["cpu"] - before["cpu"]
    return (scenario.name, scenario.watchers, opened["live"], opened["ended"],
            f"{opened['seconds']:.1f}", f"{each_kb:.1f}",
            f"{events / elapsed:.0f}", f"{events / max(1, after['messages']):.1f}", f"{after['p50']:.1f}",
            f"{after['p99']:.1f}", f"{after['max']:.1f}", f"{cpu / max(1, events) * 1e6:.1f}",
            f"{100 * cpu / elapsed:.0f}", f"{100 * client_cpu / elapsed:.0f}")  # fmt: skip


async def _open(client: Client, watchers: int) -> dict[str, float]:
    """The client's answer once all streams live, or none more does."""
    began = time.monotonic()
    answer = await client.ask()
    while answer["live"] < watchers and time.monotonic() - began < _OPEN_SECONDS:
        await asyncio.sleep(0.1)
        answer = await client.ask()
    return {**answer, "seconds": time.monotonic() - began}


async def replay(bench: Bench) -> str:
    """The rate at which a long history comes from the store to one watcher."""
    tasks = await bench.submit(1)
    async with bench.load(tasks, 0, 0):
        pass
    rates, cpus = [], []
    for _ in range(5):
        cpu, began, events = bench.cpu_seconds(), time.monotonic(), 0.0
        channel_ready = time.monotonic()
        request = pb.WatchTaskRequest(task_id=tasks.read_text())
        watch: Any = bench.channel.unary_stream(WATCH, request_serializer=pb.WatchTaskRequest.SerializeToString)
        messages: list[bytes] = []
        call = watch(request)
        async for message in call:
            messages.append(message)
            events += message.count(b"~")
            if events >= BULK_EVENTS:
                break
        rates.append(events / (time.monotonic() - channel_ready))
        call.cancel()
        cpus.append(bench.cpu_seconds() - cpu)
        began = time.monotonic()
        decoded = sum(len(pb.WatchTaskResponse.FromString(message).events) for message in messages)
        decoding = decoded / (time.monotonic() - began)
    return (
        f"replay of {BULK_EVENTS} events: {statistics.median(rates):,.0f} events/s, {len(messages)} messages of up to"
        f" {max(map(len, messages)) >> 10} KiB, server CPU {sum(cpus) / 5 / BULK_EVENTS * 1e6:.1f} us an event;"
        f" decoding them in the client takes {1e6 / decoding:.1f} us an event more"
    )


@asynccontextmanager
async def _agents(listen: str) -> AsyncIterator[StillAgents]:
    agents = StillAgents()
    drain = Drain()
    servicer = AgentServicer(agents, drain=drain)
    services = {"troupe.api.agent.v1.AgentService": servicer.add_to}
    settings = ServerSettings(listen=listen, grace_seconds=0)
    async with serving(settings, drain=drain, services=services, dependencies={}):
        yield agents


def _worker(engine: Engine) -> Launch:
    """A worker whose leases need no renewal meanwhile: it is to leave the machine alone."""
    env = {
        "TROUPE_WORKER__SERVER__LISTEN": "127.0.0.1:0",
        "TROUPE_WORKER__REDIS_URL": engine.redis.url,
        "TROUPE_WORKER__AGENTS": f'["{engine.agents_address}"]',
        "TROUPE_WORKER__LEASE_SECONDS": "3600",
    }
    return Launch([sys.executable, "-m", "troupe.orchestrator.worker"], env)


def _print(row: Sequence[object]) -> None:
    first, *rest = row
    print(f"{first:<17}" + "".join(f"{cell!s:>9}" for cell in rest), flush=True)


async def _measure(seconds: float, only: str) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis = RedisServer(data_dir=folder)
        redis.start()
        stack.callback(redis.stop)
        engine = Engine(redis, folder, stack=stack)
        async with _agents(engine.agents_address) as agents:
            server = engine.start_orchestrator(TROUPE_ORCHESTRATOR__CHECKPOINT_SECONDS="15")
            stack.enter_context(running(_worker(engine), log=folder / "worker.log"))
            await healthy(engine.address)
            async with engine.open() as channel:
                bench = Bench(folder, engine, server, agents, channel)
                for scenario in SCENARIOS:
                    if scenario.name.startswith(only):
                        row = await live(bench, scenario, seconds)
                        _print(HEADER) if scenario is SCENARIOS[0] or only else None
                        _print(row)
                if "replay".startswith(only):
                    print(await replay(bench))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--only", default="", help="scenarios whose names begin so, or `replay`")
    arguments = parser.parse_args()
    configure("bench", LogSettings(level="warning"))
    uvloop.run(_measure(arguments.seconds, arguments.only))
