"""Executes steps: finds the agent, waits for its turn, streams what it says, stops it when nobody listens."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from troupe.agents.runtime.agent import Agent
from troupe.agents.runtime.context import AgentContext
from troupe.agents.runtime.failures import told
from troupe.agents.runtime.metering import MeteredModels
from troupe.agents.runtime.models import Models
from troupe.agents.runtime.slots import Slots
from troupe.agents.runtime.tool_calls import ToolCaller
from troupe.agents.settings import ExecutionSettings
from troupe.agents.tools.registry import ToolRegistry
from troupe.agents.tools.tool import ToolScope
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, ExecuteRequest, ExecuteResponse
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.background import background
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.logs import get_logger

_Outbox = asyncio.Queue[ExecuteResponse | None]


@dataclass(frozen=True, slots=True)
class _Employed:
    agent: Agent
    slots: Slots


class Runtime:
    """The agents of this process."""

    def __init__(
        self,
        *,
        agents: Sequence[Agent],
        models: Models,
        tools: ToolRegistry,
        settings: ExecutionSettings,
        default_model: str = "",
    ) -> None:
        self._models = models
        self._tools = tools
        self._settings = settings
        self._default_model = default_model
        self._agents = {agent.descriptor.name: _Employed(agent, _slots(agent, settings)) for agent in agents}
        for agent in agents:
            tools.permitted(agent.descriptor.tools)

    def descriptors(self) -> list[AgentDescriptor]:
        """The agents, with what this process takes of each."""
        described = []
        for employed in self._agents.values():
            descriptor = AgentDescriptor()
            descriptor.CopyFrom(employed.agent.descriptor)
            descriptor.max_concurrency = self._settings.max_concurrency
            described.append(descriptor)
        return described

    async def execute(
        self, step: ExecuteRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[ExecuteResponse, None]:
        """Streams what happens, the output last. Closing it cancels the work.

        Raises:
            TroupeError: UNKNOWN_AGENT, QUOTA_EXCEEDED, DEADLINE_EXCEEDED, or what the agent ended with.
        """
        employed = self._find(step.agent)
        loop = asyncio.get_running_loop()
        ends = None if timeout_seconds is None else loop.time() + timeout_seconds
        async with employed.slots.slot():
            outbox: _Outbox = asyncio.Queue()
            async with background(self._work(employed.agent, step, outbox, ends), name=step.step_id) as work:
                while (event := await outbox.get()) is not None:
                    yield event
                yield ExecuteResponse(output=await work)

    async def _work(self, agent: Agent, step: ExecuteRequest, outbox: _Outbox, ends: float | None) -> StepOutput:
        try:
            async with asyncio.timeout_at(ends) as deadline:
                return await agent.execute(step, self._context(agent, step, outbox, ends))
        except Exception as error:  # noqa: BLE001 - the edge of the agent: its caller gets a reason
            failure = _late(step) if deadline.expired() else told(error, f"agent `{step.agent}`")
            get_logger().warning("step attempt failed", status=failure.reason_name)
            raise failure from None
        finally:
            outbox.put_nowait(None)

    def _context(self, agent: Agent, step: ExecuteRequest, outbox: _Outbox, ends: float | None) -> AgentContext:
        left = None if ends is None else ends - asyncio.get_running_loop().time()
        return AgentContext(
            emit=outbox.put_nowait,
            models=MeteredModels(
                models=self._models,
                emit=outbox.put_nowait,
                step=step,
                default_model=self._default_model,
                timeout_seconds=left,
            ),
            tools=ToolCaller(
                tools=self._tools.permitted(agent.descriptor.tools), scope=ToolScope.of(step), emit=outbox.put_nowait
            ),
        )

    def _find(self, name: str) -> _Employed:
        if employed := self._agents.get(name):
            return employed
        offered = ", ".join(f"`{known}`" for known in self._agents)
        problem = f"{name!r} is no agent of this server; it has {offered}"
        violations = [FieldViolation("agent", problem)]
        raise TroupeError(ErrorReason.ERROR_REASON_UNKNOWN_AGENT, f"`agent` {problem}", violations=violations)


def _slots(agent: Agent, settings: ExecutionSettings) -> Slots:
    return Slots(agent=agent.descriptor.name, limit=settings.max_concurrency, max_waiting=settings.max_waiting)


def _late(step: ExecuteRequest) -> TroupeError:
    problem = f"agent `{step.agent}` did not end step `{step.step_id}` before the call's deadline"
    return TroupeError(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, problem)
