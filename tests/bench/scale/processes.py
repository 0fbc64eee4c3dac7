"""The processes under test, and what they have used."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.engine import Engine, healthy
from tests.support.processes import running
from tests.support.redis import RedisServer
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.local.launch import Launch
from troupe.orchestrator.redis.client import RedisClient

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

ORCHESTRATOR, WORKER, REDIS = "orchestrator", "worker", "redis"


@dataclass
class Deployment:
    """One of each process on a Redis of their own; `pids` by role."""

    engine: Engine
    redis: RedisClient
    stub: "Stub"
    pids: dict[str, int]

    def cpu_us(self) -> Mapping[str, float]:
        """Microseconds of CPU that each process has used."""
        return {role: _cpu_us(pid) for role, pid in self.pids.items()}

    def resident_mib(self, role: str) -> float:
        """Memory of a process."""
        status = Path(f"/proc/{self.pids[role]}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def start_worker(self, listen: str) -> None:
        """Starts a worker that executes the agent `noop` in its own process and serves it, too."""
        env = {
            "TROUPE_WORKER__SERVER__LISTEN": listen,
            "TROUPE_WORKER__REDIS_URL": self.engine.redis.url,
            "TROUPE_WORKER__AGENTS": "[]",
            "TROUPE_WORKER__LOCAL_AGENTS": '["tests.bench.noop_agent:Noop"]',
        }
        self.pids[WORKER] = self.engine._start("orchestrator.worker", env).pid


@asynccontextmanager
async def deployed(folder: Path, *, worker: bool = True) -> AsyncIterator[Deployment]:
    """Starts them on an empty Redis. Without a worker, a server answers for the agent, so that plans are accepted."""
    async with AsyncExitStack() as stack:
        server = RedisServer(data_dir=folder)
        server.start()
        stack.callback(server.stop)
        engine = Engine(server, folder, stack=stack.enter_context(ExitStack()))
        orchestrator = engine.start_orchestrator(TROUPE_LOG__LEVEL="warning")
        redis = RedisClient(server.url)
        stack.push_async_callback(redis.close)
        channel = await stack.enter_async_context(engine.open())
        pids = {ORCHESTRATOR: orchestrator.pid, REDIS: server.process.pid}
        deployment = Deployment(engine, redis, OrchestratorServiceStub(channel), pids)
        if worker:
            deployment.start_worker(engine.agents_address)
        else:
            agent = Launch([sys.executable, "-m", "tests.bench.noop_agent", engine.agents_address])
            stack.enter_context(running(agent, log=folder / "noop.log"))
        await healthy(engine.address)
        yield deployment


def _cpu_us(pid: int) -> float:
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1000
