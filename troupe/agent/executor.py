"""What executes steps, whether behind a gRPC server or in the worker's own process."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, ExecuteRequest, ExecuteResponse


class StepExecutor(Protocol):
    """Some agents."""

    def descriptors(self) -> Sequence[AgentDescriptor]:
        """The agents and what each takes."""

    def execute(self, step: ExecuteRequest, *, timeout_seconds: float | None) -> AsyncGenerator[ExecuteResponse, None]:
        """Executes one attempt: an async generator that ends with one `output` or `delegate`. Closing it cancels.

        Raises:
            TroupeError: why the attempt failed, and whether another may succeed.
        """
