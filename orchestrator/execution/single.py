"""One gRPC call a step: every agent server can be called so."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import grpc.aio

from orchestrator.execution.failures import explained
from troupe.api.agent.v1.agent_service_pb2 import ExecuteRequest, ExecuteResponse
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceStub

if TYPE_CHECKING:
    from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub


class SingleCalls:
    """Executes steps on the server of a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: AgentServiceAsyncStub = AgentServiceStub(channel)

    async def execute(self, step: ExecuteRequest, *, timeout_seconds: float) -> AsyncGenerator[ExecuteResponse, None]:
        """Executes an attempt; closing the iterator cancels it.

        Raises:
            TroupeError: why it failed.
        """
        call = self._stub.Execute(step, timeout=timeout_seconds)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise explained(error) from None
        finally:
            call.cancel()
