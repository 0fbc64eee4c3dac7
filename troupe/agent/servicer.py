"""`AgentService` over a `StepExecutor`."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc
import grpc.aio

from troupe.agent.executor import StepExecutor
from troupe.agent.guarded import guarded
from troupe.agent.multiplexer import Multiplexer
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceServicer
from troupe.core.server import Drain

Context = grpc.aio.ServicerContext[Any, Any]


_SERVICE: Final = pb.DESCRIPTOR.services_by_name["AgentService"].full_name


class AgentServicer(AgentServiceServicer):
    """Serves agents. Add it to a server with `add_to`.

    `add_AgentServiceServicer_to_server` does as well, only that a call which cannot be read then ends its stream.
    """

    def __init__(self, executor: StepExecutor, *, drain: Drain) -> None:
        self._executor = executor
        self._drain = drain

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serves `AgentService`. What comes on `ExecuteMany` is decoded by the multiplexer, call by call."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Describe": grpc.unary_unary_rpc_method_handler(
                self.Describe,
                request_deserializer=pb.DescribeRequest.FromString,
                response_serializer=pb.DescribeResponse.SerializeToString,
            ),
            "Execute": grpc.unary_stream_rpc_method_handler(
                self.Execute,
                request_deserializer=pb.ExecuteRequest.FromString,
                response_serializer=pb.ExecuteResponse.SerializeToString,
            ),
            "ExecuteMany": grpc.stream_stream_rpc_method_handler(
                self.ExecuteMany, response_serializer=pb.ExecuteManyResponse.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:  # noqa: N802
        """Lists the agents."""
        return pb.DescribeResponse(agents=self._executor.descriptors(), multiplexed=True)

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> AsyncIterator[pb.ExecuteResponse]:  # noqa: N802
        """Executes an attempt under the call's deadline."""
        async with aclosing(guarded(self._executor, request, timeout_seconds=context.time_remaining())) as responses:
            async for response in responses:
                yield response

    async def ExecuteMany(  # noqa: N802
        self, requests: AsyncIterator[pb.ExecuteManyRequest | bytes], context: Context
    ) -> AsyncIterator[pb.ExecuteManyResponse]:
        """Executes the attempts of one worker."""
        async with Multiplexer(self._executor, drain=self._drain) as calls:
            async for response in calls.serve(requests):
                yield response
