"""The port of an agent."""

from typing import Protocol

from troupe.agents.runtime.context import AgentContext
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, ExecuteRequest
from troupe.api.common.v1.content_pb2 import StepOutput


class Agent(Protocol):
    """Does one kind of step. It keeps nothing between steps."""

    @property
    def descriptor(self) -> AgentDescriptor:
        """What it is; `tools` is also the list of those that it may call."""

    async def execute(self, step: ExecuteRequest, context: AgentContext) -> StepOutput:
        """Does a step; cancelling it cancels all that it started.

        Raises:
            TroupeError: with the reason that the caller gets; anything else is told as AGENT_FAILED.
        """
