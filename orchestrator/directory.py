"""The directory of agents: which servers there are, what they offer and whether they answer."""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import grpc.aio

from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, DescribeRequest
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from troupe.core.channels import open_channel
from troupe.core.logs import get_logger

if TYPE_CHECKING:
    from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

_REFRESH_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 0.25
_TIMEOUT_SECONDS: Final = 5.0


@dataclass(eq=False)
class AgentServer:
    """A server of `AgentService` at an address."""

    address: str
    channel: grpc.aio.Channel
    agents: Mapping[str, AgentDescriptor] = field(default_factory=dict)
    problem: str | None = "was not reached yet"
    doubted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def available(self) -> bool:
        """Whether it answered last time."""
        return self.problem is None

    @property
    def stub(self) -> "AgentServiceAsyncStub":
        """Calls it."""
        return AgentServiceStub(self.channel)


class AgentDirectory:
    """Asks the servers what they offer, again and again. Use as a context manager."""

    def __init__(self, *, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._servers: list[AgentServer] = []
        self._changed = asyncio.Condition()
        self._turn = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "AgentDirectory":
        self._servers = [AgentServer(a, open_channel(a, retries=False)) for a in self._addresses]
        self._tasks = [asyncio.create_task(self._watch(server)) for server in self._servers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(server.channel.close() for server in self._servers))

    @property
    def servers(self) -> Sequence[AgentServer]:
        """All servers."""
        return self._servers

    @property
    def agents(self) -> Mapping[str, AgentDescriptor]:
        """Every agent that was ever seen, by name; servers that are down now are remembered."""
        return {name: agent for server in self._servers for name, agent in server.agents.items()}

    def serving(self, agent: str) -> AgentServer | None:
        """A server that offers the agent and answers; servers take turns."""
        able = [s for s in self._servers if s.available and agent in s.agents]
        return able[next(self._turn) % len(able)] if able else None

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
        """Health check: every server answers.

        Raises:
            ConnectionError: one does not.
        """
        problems = [f"{s.address} {s.problem}" for s in self._servers if s.problem is not None]
        if problems:
            raise ConnectionError("; ".join(problems))

    async def _watch(self, server: AgentServer) -> None:
        while True:
            try:
                reply = await server.stub.Describe(DescribeRequest(), timeout=_TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError as error:
                await self._set(server, server.agents, error.details() or error.code().name)
            else:
                await self._set(server, {agent.name: agent for agent in reply.agents}, None)
            await self._pause(server)

    @staticmethod
    async def _pause(server: AgentServer) -> None:
        """Waits for the next look: less long when the server is down, not at all when a call found it gone."""
        server.doubted.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REFRESH_SECONDS if server.available else _RETRY_SECONDS):
                await server.doubted.wait()

    async def _set(self, server: AgentServer, agents: Mapping[str, AgentDescriptor], problem: str | None) -> None:
        changed = server.available != (problem is None) or server.agents.keys() != agents.keys()
        server.agents, server.problem = agents, problem
        if changed:
            get_logger().info("agent server", address=server.address, agents=sorted(agents), problem=problem)
            async with self._changed:
                self._changed.notify_all()
