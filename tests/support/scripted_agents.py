"""A real agent server whose agents do what tests need."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc.aio

from tests.support.contexts import Context
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.core.errors import TroupeError
from troupe.core.server import Drain, ServerSettings, serving

NAMES = (
    "noop",
    "talker",
    "flaky",
    "broken",
    "hanging",
    "spender",
    "delegator",
    "speechless",
    "liar",
    "bulky",
    "flooding",
)


class ScriptedAgents(AgentServiceServicer):
    """Keeps count of what it was asked. `gates` let hanging attempts end, by task."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.requests: dict[str, list[pb.ExecuteRequest]] = defaultdict(list)
        self.cancelled: list[str] = []
        self.gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        return pb.DescribeResponse(agents=[pb.AgentDescriptor(name=name, max_concurrency=64) for name in NAMES])

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> AsyncIterator[pb.ExecuteResponse]:
        self.calls[request.idempotency_key] += 1
        self.requests[request.task_id].append(request)
        async for response in getattr(self, request.agent)(request):
            yield response

    async def noop(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        inputs = ",".join(d.output.text for d in request.dependencies)
        yield pb.ExecuteResponse(output=StepOutput(text=f"{request.step_id}({inputs})"))

    async def talker(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        yield pb.ExecuteResponse(progress=pb.Progress(message="begins", fraction=0.0))
        yield pb.ExecuteResponse(tool_started=pb.ToolStarted(call_id="1", tool="hammer"))
        yield pb.ExecuteResponse(tool_finished=pb.ToolFinished(call_id="1", tool="hammer", summary="hit"))
        words = request.instruction.split()
        for word in words:
            yield pb.ExecuteResponse(text_delta=pb.TextDelta(text=word + " "))
        yield pb.ExecuteResponse(output=StepOutput(text=" ".join(words)))

    async def flaky(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Fails until the attempt that its instruction names."""
        if request.attempt < int(request.instruction):
            raise TroupeError(
                ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, "the model sleeps", retry_delay=timedelta(milliseconds=5)
            )
        yield pb.ExecuteResponse(output=StepOutput(text=f"attempt {request.attempt}"))

    async def broken(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        yield pb.ExecuteResponse(text_delta=pb.TextDelta(text="before the end "))
        raise TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, "the model refused `x`")

    async def hanging(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        yield pb.ExecuteResponse(progress=pb.Progress(message="waits"))
        try:
            await self.gates[request.task_id].wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.task_id)
            raise
        yield pb.ExecuteResponse(output=StepOutput(text="let go"))

    async def spender(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        usage = Usage(input_tokens=70, output_tokens=30, cost_usd_micros=500, model_calls=1, model="m")
        yield pb.ExecuteResponse(usage=usage)
        yield pb.ExecuteResponse(output=StepOutput(text=f"left {request.budget.tokens}"))

    async def liar(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Reports the usage that its instruction names."""
        yield pb.ExecuteResponse(usage=Usage(input_tokens=int(request.instruction), cost_usd_micros=-1))
        yield pb.ExecuteResponse(output=StepOutput(text="done"))

    async def bulky(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Produces as many characters as its instruction says."""
        yield pb.ExecuteResponse(output=StepOutput(text="x" * int(request.instruction)))

    async def flooding(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Says more than the history takes, in one piece."""
        yield pb.ExecuteResponse(text_delta=pb.TextDelta(text="x" * (2 << 20)))
        yield pb.ExecuteResponse(output=StepOutput(text="done"))

    async def delegator(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        steps = [Step(step_id="more", agent="noop", instruction="x")]
        yield pb.ExecuteResponse(delegate=pb.Delegate(steps=steps))

    async def speechless(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        return
        yield


@asynccontextmanager
async def scripted_agents(listen: str) -> AsyncIterator[ScriptedAgents]:
    """Serves the agents at an address."""
    agents = ScriptedAgents()

    def register(server: grpc.aio.Server) -> None:
        add_AgentServiceServicer_to_server(agents, server)

    settings = ServerSettings(listen=listen, grace_seconds=0)
    services = {"troupe.api.agent.v1.AgentService": register}
    async with serving(settings, drain=Drain(), services=services, dependencies={}):
        yield agents
