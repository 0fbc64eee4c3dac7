"""The directory of agents: which servers there are, what they offer and whether they answer."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import grpc.aio

from orchestrator.execution.local import LocalAgents
from orchestrator.execution.multiplexed import MultiplexedCalls
from orchestrator.execution.single import SingleCalls
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, DescribeRequest, ExecuteRequest, ExecuteResponse
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from troupe.core.channels import open_channel
from troupe.core.logs import get_logger

if TYPE_CHECKING:
    from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

_REFRESH_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 0.25
_TIMEOUT_SECONDS: Final = 5.0


class Execution(Protocol):
    """Has steps executed at one place."""

    def execute(self, step: ExecuteRequest, *, timeout_seconds: float) -> AsyncGenerator[ExecuteResponse, None]:
        """Executes an attempt: an async generator; closing it cancels. Raises `TroupeError`."""


@dataclass(eq=False)
class AgentServer:
    """A place where agents are: a server of `AgentService`, or this process."""

    address: str
    execution: Execution
    agents: Mapping[str, AgentDescriptor] = field(default_factory=dict)
    problem: str | None = "was not reached yet"
    doubted: asyncio.Event = field(default_factory=asyncio.Event)
    running: Counter[str] = field(default_factory=Counter)

    @property
    def available(self) -> bool:
        """Whether it answered last time."""
        return self.problem is None

    def load(self, agent: str) -> float:
        """How much of the agent's room is taken, 1 when all of it is."""
        return self.running[agent] / (self.agents[agent].max_concurrency or 1)


class AgentDirectory:
    """Asks the servers what they offer, again and again. Use as a context manager."""

    def __init__(self, *, addresses: Sequence[str], local: LocalAgents | None = None) -> None:
        """`local` agents are in this process and always there."""
        self._addresses = addresses
        self._local = local
        self._servers: list[AgentServer] = []
        self._capacities: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "AgentDirectory":
        for address in self._addresses:
            channel = await self._stack.enter_async_context(open_channel(address, retries=False))
            server = AgentServer(address, SingleCalls(channel))
            self._servers.append(server)
            self._tasks.append(asyncio.create_task(self._watch(server, channel)))
        if self._local is not None:
            server = AgentServer("this process", self._local)
            self._servers.append(server)
            await self._set(server, {agent.name: agent for agent in self._local.descriptors()}, None)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    @property
    def servers(self) -> Sequence[AgentServer]:
        """All servers."""
        return self._servers

    @property
    def agents(self) -> Mapping[str, AgentDescriptor]:
        """Every agent that was ever seen, by name; servers that are down now are remembered."""
        return {name: agent for server in self._servers for name, agent in server.agents.items()}

    def serving(self, agent: str) -> AgentServer | None:
        """A server that offers the agent and answers: the one with the most room."""
        able = [s for s in self._servers if s.available and agent in s.agents]
        return min(able, key=lambda server: server.load(agent), default=None)

    def capacity(self, agent: str, *, default: int) -> int:
        """Steps of the agent that the servers which answer execute at once; `default` for each that does not say."""
        if (known := self._capacities.get(agent)) is None:
            able = [s.agents[agent] for s in self._servers if s.available and agent in s.agents]
            known = self._capacities[agent] = sum(descriptor.max_concurrency or default for descriptor in able)
        return known

    async def wait_for(self, agent: str) -> AgentServer:
        """A server that offers the agent and answers, as soon as there is one."""
        async with self._changed:
            while (server := self.serving(agent)) is None:
                await self._changed.wait()
            return server

    async def wait_for_others(self, known: Set[str]) -> Set[str]:
        """The names of agents that are not known, as soon as there are any."""
        async with self._changed:
            while not (others := self.agents.keys() - known):
                await self._changed.wait()
            return others

    async def report_down(self, server: AgentServer, problem: str) -> None:
        """A call found the server gone: it counts as down until it describes itself again."""
        if server.available:
            await self._set(server, server.agents, problem)
            server.doubted.set()

    async def check(self) -> None:
        """Health check: some server answers. One that is away must not take the tasks of all others with it.

        Raises:
            ConnectionError: none does.
        """
        problems = [f"{s.address} {s.problem}" for s in self._servers if s.problem is not None]
        if problems and len(problems) == len(self._servers):
            raise ConnectionError("; ".join(problems))

    async def _watch(self, server: AgentServer, channel: grpc.aio.Channel) -> None:
        stub: AgentServiceAsyncStub = AgentServiceStub(channel)
        async with MultiplexedCalls(channel, on_end=server.doubted.set) as multiplexed:
            while True:
                server.doubted.clear()
                try:
                    reply = await stub.Describe(DescribeRequest(), timeout=_TIMEOUT_SECONDS)
                except grpc.aio.AioRpcError as error:
                    await self._set(server, server.agents, error.details() or error.code().name)
                else:
                    server.execution = multiplexed if reply.multiplexed else SingleCalls(channel)
                    await self._set(server, {agent.name: agent for agent in reply.agents}, None)
                await self._pause(server)

    @staticmethod
    async def _pause(server: AgentServer) -> None:
        """Waits for the next look: less long when the server is down, not at all when a call found it gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REFRESH_SECONDS if server.available else _RETRY_SECONDS):
                await server.doubted.wait()

    async def _set(self, server: AgentServer, agents: Mapping[str, AgentDescriptor], problem: str | None) -> None:
        changed = server.available != (problem is None) or server.agents != agents
        server.agents, server.problem = agents, problem
        self._capacities.clear()
        if changed:
            get_logger().info("agent server", address=server.address, agents=sorted(agents), problem=problem)
            async with self._changed:
                self._changed.notify_all()
