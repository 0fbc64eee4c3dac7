"""Troupe itself, in the form of a peer: an orchestrator, a worker, and agents in the worker or behind gRPC."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.engine import healthy
from tests.support.processes import running
from troupe.local.launch import Launch, free_port

# A chain takes some hundred microseconds: fewer would measure the start of the processes' caches.
_TASKS_PER_CHAIN = 10
# Within the agent's `max_concurrency`, so that what a step lets go begins at once.
_IN_FLIGHT = 128
_QUIET = {"TROUPE_LOG__LEVEL": "warning"}


@dataclass
class TroupePeer:
    """Every step is a durable step of a task; results, events and leases are in Redis."""

    name: str
    label: str
    in_process: bool
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    @asynccontextmanager
    async def running(self, redis_url: str, folder: Path) -> AsyncIterator[None]:
        agents = f"127.0.0.1:{free_port()}"
        with ExitStack() as stack:

            def start(log: str, *arguments: str, **env: str) -> None:
                launch = Launch([sys.executable, "-m", *arguments], {**_QUIET, **env})
                stack.enter_context(running(launch, log=folder / f"{self.name}-{log}.log"))

            worker = {
                "TROUPE_WORKER__SERVER__LISTEN": agents if self.in_process else "127.0.0.1:0",
                "TROUPE_WORKER__REDIS_URL": redis_url,
                "TROUPE_WORKER__AGENTS": "[]" if self.in_process else f'["{agents}"]',
                "TROUPE_WORKER__LOCAL_AGENTS": '["tests.bench.noop_agent:Noop"]' if self.in_process else "[]",
            }
            start("worker", "troupe.orchestrator.worker", **worker)
            if not self.in_process:
                start("agents", "tests.bench.noop_agent", agents)
            start(
                "orchestrator",
                "troupe.orchestrator",
                TROUPE_ORCHESTRATOR__SERVER__LISTEN=self.address,
                TROUPE_ORCHESTRATOR__REDIS_URL=redis_url,
                TROUPE_ORCHESTRATOR__AGENTS=f'["{agents}"]',
            )
            await healthy(self.address)
            yield

    async def latencies(self, count: int) -> list[float]:
        return [float(line) for line in (await self._client("latency", count)).split()]

    async def throughput(self, count: int, concurrency: int) -> float:
        return float(await self._client("throughput", count * _TASKS_PER_CHAIN))

    async def _client(self, what: str, count: int) -> str:
        arguments = ["-m", "tests.bench.orchestration.client", self.address, what, str(count), str(_IN_FLIGHT)]
        client = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        printed, _ = await client.communicate()
        assert client.returncode == 0, f"the client ended with {client.returncode}"
        return printed.decode()
