"""Many calls on one stream do not harm each other, however some of them end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc.aio

from tests.support.processes import until
from troupe.agent import AgentServicer
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.core.channels import open_channel
from troupe.core.server import Drain
from troupe.orchestrator.execution.multiplexed import MultiplexedCalls

FLOOD = 3_000


class Flooding:
    """Says more than a worker takes that does not read."""

    def __init__(self) -> None:
        self.said = 0

    def descriptors(self) -> Sequence[pb.AgentDescriptor]:
        return [pb.AgentDescriptor(name="flooding")]

    async def execute(
        self, step: pb.ExecuteRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[pb.ExecuteResponse, None]:
        for _ in range(int(step.instruction)):
            yield pb.ExecuteResponse(progress=pb.Progress(message="more"))
            self.said += 1
        yield pb.ExecuteResponse(output=StepOutput(text="done"))


def _step(times: int) -> pb.ExecuteRequest:
    ids: Any = {"task_id": "t", "step_id": "s", "idempotency_key": "t/s", "project": "p"}
    return pb.ExecuteRequest(**ids, agent="flooding", attempt=1, instruction=str(times))


@asynccontextmanager
async def _served(agents: Flooding) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    AgentServicer(agents, drain=Drain()).add_to(server)
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", retries=False) as channel:
        yield channel
    await server.stop(0)


async def test_a_call_that_is_given_up_unread_does_not_stop_the_others() -> None:
    agents = Flooding()
    async with _served(agents) as channel, MultiplexedCalls(channel, on_end=lambda: None) as calls:
        flood: Any = calls.execute(_step(FLOOD), timeout_seconds=30)
        async with aclosing(flood):
            await anext(flood)

            async def all_said() -> bool:
                return agents.said == FLOOD

            await until(all_said)
            behind: Any = calls.execute(_step(1), timeout_seconds=30)
            waiting = asyncio.create_task(anext(behind))

            async def both_said() -> bool:
                return agents.said == FLOOD + 1

            await until(both_said)
        async with asyncio.timeout(5):
            await waiting
            await behind.aclose()


async def test_a_call_that_is_cancelled_as_it_is_started_is_forgotten() -> None:
    async with _served(Flooding()) as channel:
        stub: Any = AgentServiceStub(channel)
        start = pb.StepCall(call_id=1, start=pb.StartCall(request=_step(1)))
        cancel = pb.StepCall(call_id=1, cancel=pb.CancelCall())
        stream = stub.ExecuteMany()
        await stream.write(pb.ExecuteManyRequest(calls=[start, cancel]))
        await stream.done_writing()
        async with asyncio.timeout(5):
            assert await stream.read() is grpc.aio.EOF
