"""`AgentService`."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from agents.runtime.runtime import Runtime
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceServicer
from troupe.core.interceptors.around import Context


class AgentServicer(AgentServiceServicer):
    """Serves the agents of this process."""

    def __init__(self, *, runtime: Runtime) -> None:
        self._runtime = runtime

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        """Lists the agents."""
        return pb.DescribeResponse(agents=self._runtime.descriptors())

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> AsyncIterator[pb.ExecuteResponse]:
        """Executes an attempt under the call's deadline."""
        async with aclosing(self._runtime.execute(request, timeout_seconds=context.time_remaining())) as events:
            async for event in events:
                yield event
