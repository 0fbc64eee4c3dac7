"""An agent that does nothing, for a worker process or as a server: `python -m tests.bench.noop_agent HOST:PORT`."""

import sys
from collections.abc import AsyncGenerator, Sequence

import grpc.aio

from troupe.agent import AgentServicer
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, ExecuteRequest, ExecuteResponse
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.core.server import Drain, ServerSettings, run, serving


class Noop:
    """The agent `noop`."""

    def descriptors(self) -> Sequence[AgentDescriptor]:
        return [AgentDescriptor(name="noop", max_concurrency=256)]

    async def execute(
        self, step: ExecuteRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[ExecuteResponse, None]:
        yield ExecuteResponse(output=StepOutput(text="done"))


async def _main(drain: Drain) -> None:
    def register(server: grpc.aio.Server) -> None:
        AgentServicer(Noop(), drain=drain).add_to(server)

    services = {"troupe.api.agent.v1.AgentService": register}
    async with serving(ServerSettings(listen=sys.argv[1]), drain=drain, services=services, dependencies={}):
        await drain.wait()


if __name__ == "__main__":
    run("noop", _main)
