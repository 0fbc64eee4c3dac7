"""`AgentService` over a `StepExecutor`."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio

from troupe.agent.executor import StepExecutor
from troupe.agent.guarded import guarded
from troupe.agent.multiplexer import Multiplexer
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceServicer
from troupe.core.server import Drain

Context = grpc.aio.ServicerContext[Any, Any]


class AgentServicer(AgentServiceServicer):
    """Serves agents. Add it with `add_AgentServiceServicer_to_server`."""

    def __init__(self, executor: StepExecutor, *, drain: Drain) -> None:
        self._executor = executor
        self._drain = drain

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:  # noqa: N802
        """Lists the agents."""
        return pb.DescribeResponse(agents=self._executor.descriptors(), multiplexed=True)

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> AsyncIterator[pb.ExecuteResponse]:  # noqa: N802
        """Executes an attempt under the call's deadline."""
        async with aclosing(guarded(self._executor, request, timeout_seconds=context.time_remaining())) as responses:
            async for response in responses:
                yield response

    async def ExecuteMany(  # noqa: N802
        self, requests: AsyncIterator[pb.ExecuteManyRequest], context: Context
    ) -> AsyncIterator[pb.ExecuteManyResponse]:
        """Executes the attempts of one worker."""
        async with Multiplexer(self._executor, drain=self._drain) as calls:
            async for response in calls.serve(requests):
                yield response
