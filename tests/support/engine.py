"""The engine for tests: Redis, an orchestrator and a worker as real processes, agents in the test's own process."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from tests.support.processes import running, until
from tests.support.redis import Redis
from tests.support.scripted_agents import ScriptedAgents, scripted_agents
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import Plan, TaskSpec
from troupe.core.channels import open_channel
from troupe.core.health import grpc_health_check
from troupe.local.launch import Launch, free_port

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub


@dataclass
class Engine:
    """Starts and kills the processes; any number of workers and of orchestrators."""

    redis: Redis
    logs: Path
    agents_address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    stack: ExitStack = field(default_factory=ExitStack)

    def start_orchestrator(self, address: str | None = None, **settings: str) -> subprocess.Popen[bytes]:
        env = {
            "TROUPE_ORCHESTRATOR__SERVER__LISTEN": address or self.address,
            "TROUPE_ORCHESTRATOR__SERVER__GRACE_SECONDS": "1",
            "TROUPE_ORCHESTRATOR__REDIS_URL": self.redis.service_url,
            "TROUPE_ORCHESTRATOR__AGENTS": f'["{self.agents_address}"]',
            "TROUPE_ORCHESTRATOR__INFERENCE_ADDRESS": "127.0.0.1:1",  # nobody's: no model is known, and none refused
            "TROUPE_ORCHESTRATOR__CHECKPOINT_SECONDS": "0.5",
            **settings,
        }
        return self._start("orchestrator", env)

    def start_worker(self, **settings: str) -> subprocess.Popen[bytes]:
        env = {
            "TROUPE_WORKER__SERVER__LISTEN": "127.0.0.1:0",
            "TROUPE_WORKER__SERVER__GRACE_SECONDS": "1",
            "TROUPE_WORKER__REDIS_URL": self.redis.service_url,
            "TROUPE_WORKER__AGENTS": f'["{self.agents_address}"]',
            "TROUPE_WORKER__RETRY__INITIAL_BACKOFF_SECONDS": "0.01",
            **settings,
        }
        return self._start("orchestrator.worker", env)

    def _start(self, module: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        launch = Launch([sys.executable, "-m", f"troupe.{module}"], env)
        return self.stack.enter_context(running(launch, log=self.logs / f"{module}.log"))

    def said(self, module: str = "orchestrator.worker") -> str:
        """What all processes of a module have logged."""
        return (self.logs / f"{module}.log").read_text()

    def open(self, address: str | None = None) -> grpc.aio.Channel:
        return open_channel(address or self.address, retries=False)


async def events_of(call: "grpc.aio.UnaryStreamCall[Any, Any]") -> list[TaskEvent]:
    """The history that a stream sends, checkpoints left out."""
    return [event async for response in call for event in response.events if event.sequence]


async def healthy(address: str) -> None:
    """Returns when the server at an address serves."""
    async with open_channel(address, retries=False) as channel:
        check = grpc_health_check(channel)

        async def serves() -> bool:
            await check()
            return True

        await until(serves)


@pytest.fixture(scope="session")
def engine(redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An orchestrator and a worker; whoever kills one starts another."""
    engine = Engine(redis_server, tmp_path_factory.mktemp("engine"))
    engine.start_orchestrator()
    engine.start_worker()
    with engine.stack:
        yield engine


@asynccontextmanager
async def calling(engine: Engine) -> "AsyncIterator[OrchestratorServiceAsyncStub]":
    """Calls an engine's orchestrator, once it serves."""
    await healthy(engine.address)
    async with engine.open() as channel:
        yield OrchestratorServiceStub(channel)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents(engine: Engine) -> AsyncIterator[ScriptedAgents]:
    """The agents, up and known to the orchestrator and to the worker."""
    async with scripted_agents(engine.agents_address) as scripted:
        await healthy(engine.address)
        async with engine.open() as channel:
            stub: OrchestratorServiceAsyncStub = OrchestratorServiceStub(channel)
            await history(stub, await submit(stub, spec(("first", "noop", "x", []))))
        scripted.calls.clear()
        yield scripted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub(engine: Engine, agents: ScriptedAgents) -> "AsyncIterator[OrchestratorServiceAsyncStub]":
    """Calls the orchestrator."""
    async with engine.open() as channel:
        yield OrchestratorServiceStub(channel)


def plan(*steps: tuple[str, str, str, Sequence[str]]) -> Plan:
    """A plan of `(id, agent, instruction, dependencies)`."""
    return Plan(steps=[Step(step_id=i, agent=a, instruction=text, depends_on=deps) for i, a, text, deps in steps])


def spec(*steps: tuple[str, str, str, Sequence[str]]) -> TaskSpec:
    """A task with a plan of its own."""
    return TaskSpec(input="a test", plan=plan(*steps))


async def submit(stub: "OrchestratorServiceAsyncStub", task: TaskSpec) -> str:
    """Submits a task and returns its id."""
    return (await stub.SubmitTask(pb.SubmitTaskRequest(task=task))).task.task_id


async def history(stub: "OrchestratorServiceAsyncStub", task_id: str, after: int = 0) -> list[TaskEvent]:
    """Every event behind a cursor to the terminal one, checkpoints left out."""
    request = pb.WatchTaskRequest(task_id=task_id, after_sequence=after)
    return await events_of(stub.WatchTask(request, timeout=60))


def kinds(events: Sequence[TaskEvent]) -> list[str]:
    """The names of the events."""
    return [event.WhichOneof("event") or "" for event in events]
