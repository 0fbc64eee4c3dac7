"""The directory of agents: which servers there are, what they offer and whether they answer.

An agent is known when this process saw it, or another one did and wrote it down. One whose server is away stays known:
what names it is taken, and its steps wait.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol, TypeVar

import grpc.aio
from google.protobuf.message import DecodeError

from troupe.api.agent.v1.agent_service_pb2 import (
    DESCRIPTOR,
    AgentDescriptor,
    DescribeResponse,
    ExecuteRequest,
    ExecuteResponse,
)
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.background import stop
from troupe.core.channels import open_channel
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.orchestrator.domain.plan import UnknownAgentError
from troupe.orchestrator.execution.local import LocalAgents
from troupe.orchestrator.execution.multiplexed import MultiplexedCalls
from troupe.orchestrator.execution.single import SingleCalls
from troupe.orchestrator.store.known_agents import KnownAgent, KnownAgents

_REFRESH_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 0.25
_TIMEOUT_SECONDS: Final = 5.0
# How often what answers is written down; news are at once.
_KNOWN_SECONDS: Final = 30.0
_AGAIN: Final = timedelta(seconds=1)
_DESCRIBE: Final = f"/{DESCRIPTOR.services_by_name['AgentService'].full_name}/Describe"
# As `Step.agent` has it.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# What local agents have for an address, to whoever reads it.
_IN_WORKER: Final = "a worker's own process"

T = TypeVar("T")


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
    heard: bool = False
    """Whether it ever answered."""

    @property
    def available(self) -> bool:
        """Whether it answered last time."""
        return self.problem is None

    def load(self, agent: str) -> float:
        """How much of the agent's room is taken, 1 when all of it is."""
        return self.running[agent] / (self.agents[agent].max_concurrency or 1)


class AgentDirectory:
    """Asks the servers what they offer, again and again. Use as a context manager."""

    def __init__(self, *, addresses: Sequence[str], known: KnownAgents, local: LocalAgents | None = None) -> None:
        """`local` agents are in this process and always there."""
        self._addresses = addresses
        self._known = known
        self._local = local
        self._recalled: Mapping[str, KnownAgent] = {}
        self._news = asyncio.Event()
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
            server = AgentServer(_IN_WORKER, self._local)
            self._servers.append(server)
            await self._set(server, {agent.name: agent for agent in self._local.descriptors()}, None)
        self._tasks.append(asyncio.create_task(self._keep_known()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop(*self._tasks)
        await self._stack.aclose()

    @property
    def servers(self) -> Sequence[AgentServer]:
        """All servers."""
        return self._servers

    @property
    def seen(self) -> Mapping[str, AgentDescriptor]:
        """Every agent that this process saw, by name; its server may be down now."""
        return {name: agent for server in self._servers for name, agent in server.agents.items()}

    @property
    def away(self) -> Mapping[str, KnownAgent]:
        """The agents that are known and that no server of this process has offered."""
        seen = self.seen
        return {name: agent for name, agent in self._recalled.items() if name not in seen}

    async def settle(self, check: Callable[[Set[str]], T]) -> T:
        """Has names checked against the agents that are known.

        Raises:
            UnknownAgentError: the check's own: a name is unknown even to the other processes, and every server of the
                settings was heard of.
            TroupeError: AGENT_UNAVAILABLE while a server may yet offer what the check misses, STORE_UNAVAILABLE; what
                else the check raises.
        """
        for last in (False, True):
            if known := self.seen.keys() | self._recalled.keys():
                try:
                    return check(known)
                except UnknownAgentError as error:
                    if last and not self._unheard():
                        raise
                    problem = str(error)
            else:
                problem = "no agent is known yet"
            if not last:
                self._recalled = await self._known.recall()
        raise self._not_yet(problem)

    def _unheard(self) -> Sequence[str]:
        """The servers that never said what they offer, neither to this process nor to one that wrote it down."""
        written_down = {agent.address for agent in self._recalled.values()}
        return [s.address for s in self._servers if not s.heard and s.address not in written_down]

    def _not_yet(self, problem: str) -> TroupeError:
        missing = ", ".join(self._unheard()) or "none is named"
        return TroupeError(
            ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE,
            f"{problem}; agent servers that have not answered yet: {missing}. Start them, or mend the setting `agents`",
            retry_delay=_AGAIN,
        )

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

    async def soon(self, agent: str) -> AgentServer | None:
        """The same, or None when there is none for a while: a call may have found the server gone only now."""
        if (server := self.serving(agent)) is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH_SECONDS):
                    server = await self.wait_for(agent)
        return server

    async def wait_for_others(self, known: Set[str]) -> Set[str]:
        """The names of agents that were seen and are not among those, as soon as there are any."""
        async with self._changed:
            while not (others := self.seen.keys() - known):
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
        describe: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_DESCRIBE)
        single = SingleCalls(channel)
        async with MultiplexedCalls(channel, on_end=server.doubted.set) as multiplexed:
            while True:
                server.doubted.clear()
                try:
                    reply = DescribeResponse.FromString(await describe(b"", timeout=_TIMEOUT_SECONDS))
                except grpc.aio.AioRpcError as error:
                    await self._set(server, server.agents, error.details() or error.code().name)
                except DecodeError:
                    await self._set(server, server.agents, "describes itself by bytes that cannot be read")
                else:
                    server.execution = multiplexed if reply.multiplexed else single
                    await self._set(server, _offered(server.address, reply), None)
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
        server.heard = server.heard or problem is None
        self._capacities.clear()
        if changed:
            self._news.set()
            get_logger().info("agent server", address=server.address, agents=sorted(agents), problem=problem)
            async with self._changed:
                self._changed.notify_all()

    async def _keep_known(self) -> None:
        """Writes down what answers, and reads what others wrote down, again and again."""
        while True:
            self._news.clear()
            seconds = _KNOWN_SECONDS
            try:
                await self._known.remember(self._answering())
                self._recalled = await self._known.recall()
                if withdrawn := self._withdrawn():
                    await self._known.forget(withdrawn)
                    self._recalled = {name: each for name, each in self._recalled.items() if name not in withdrawn}
            except TroupeError as error:
                seconds = _REFRESH_SECONDS
                get_logger().warning("agents neither remembered nor recalled", problem=error.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()

    def _answering(self) -> Mapping[str, KnownAgent]:
        return {
            name: KnownAgent(agent, server.address)
            for server in self._servers
            if server.available
            for name, agent in server.agents.items()
        }

    def _withdrawn(self) -> list[str]:
        """What is written down of a server that answers, and that it does not offer any more."""
        answering = {server.address for server in self._servers if server.available and server.address != _IN_WORKER}
        return [name for name, agent in self.away.items() if agent.address in answering]


def works_in_worker(known: KnownAgent) -> bool:
    """Whether an agent that is known from elsewhere is one of a worker's own process, and that worker is there."""
    return known.address == _IN_WORKER and known.age_ms < 2 * 1000 * _KNOWN_SECONDS


def _offered(address: str, reply: DescribeResponse) -> Mapping[str, AgentDescriptor]:
    """The agents of a server, without those that no step could name."""
    offered = {}
    for agent in reply.agents:
        if _NAME.fullmatch(agent.name):
            agent.max_concurrency = max(0, agent.max_concurrency)
            offered[agent.name] = agent
        else:
            get_logger().warning("agent left out: steps cannot name it", address=address, agent=agent.name[:100])
    return offered
