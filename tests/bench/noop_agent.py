"""An agent server whose agent does nothing: `python -m tests.bench.noop_agent HOST:PORT`."""

import sys
from collections.abc import AsyncIterator

import grpc.aio

from tests.support.contexts import Context
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.core.server import Drain, ServerSettings, run, serving


class Noop(AgentServiceServicer):
    """The agent `noop`."""

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        return pb.DescribeResponse(agents=[pb.AgentDescriptor(name="noop", max_concurrency=256)])

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> AsyncIterator[pb.ExecuteResponse]:
        yield pb.ExecuteResponse(output=StepOutput(text="done"))


def _register(server: grpc.aio.Server) -> None:
    add_AgentServiceServicer_to_server(Noop(), server)


async def _main(drain: Drain) -> None:
    services = {"troupe.api.agent.v1.AgentService": _register}
    async with serving(ServerSettings(listen=sys.argv[1]), drain=drain, services=services, dependencies={}):
        await drain.wait()


if __name__ == "__main__":
    run("noop", _main)
