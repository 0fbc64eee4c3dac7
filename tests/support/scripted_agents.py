"""A real agent server whose agents do what tests need."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc.aio

from tests.support.contexts import Context
from troupe.agent import AgentServicer
from troupe.api.agent.v1 import agent_service_pb2 as pb
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
    "approver",
    "again",
    "deep",
    "repeating",
    "risky",
    "raising",
    "speechless",
    "liar",
    "bulky",
    "flooding",
    "narrow",
    "chatty",
    "single",
)


# Of the agents that do not take 64 steps at once.
CONCURRENCY = {"narrow": 2, "single": 1}


class ScriptedAgents:
    """Keeps count of what it was asked. `gates` let hanging attempts end, by task."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.requests: dict[str, list[pb.ExecuteRequest]] = defaultdict(list)
        self.started: list[pb.ExecuteRequest] = []
        self.cancelled: list[str] = []
        self.gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.running: Counter[str] = Counter()
        self.most_running: Counter[str] = Counter()

    def descriptors(self) -> Sequence[pb.AgentDescriptor]:
        return [pb.AgentDescriptor(name=name, max_concurrency=CONCURRENCY.get(name, 64)) for name in NAMES]

    async def execute(
        self, step: pb.ExecuteRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[pb.ExecuteResponse, None]:
        self.calls[step.idempotency_key] += 1
        self.requests[step.task_id].append(step)
        self.started.append(step)
        self.running[step.agent] += 1
        self.most_running[step.agent] = max(self.most_running[step.agent], self.running[step.agent])
        try:
            async for response in getattr(self, step.agent)(step):
                yield response
        finally:
            self.running[step.agent] -= 1

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

    async def chatty(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Reports progress as often, and in as many characters, as its instruction says."""
        times, size = map(int, request.instruction.split())
        for number in range(times):
            yield pb.ExecuteResponse(progress=pb.Progress(message=f"{number} ".ljust(size, ".")))
            if number % 100 == 99:
                await asyncio.sleep(0.005)  # its pace: what it says is to be seen while it speaks
        yield pb.ExecuteResponse(output=StepOutput(text="done"))

    async def delegator(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Delegates, once, the steps that its instruction names as `id:agent:instruction:dependency+…` lines."""
        if request.delegated:
            text = ",".join(f"{d.step_id}={d.output.text}" for d in request.delegated)
            yield pb.ExecuteResponse(output=StepOutput(text=text))
            return
        steps = []
        for line in request.instruction.split("\n"):
            step_id, agent, instruction, dependencies = line.split(":", 3)
            steps.append(
                Step(
                    step_id=step_id,
                    agent=agent,
                    instruction=instruction.replace("/", "\n").replace(";", ":"),
                    depends_on=[d for d in dependencies.split("+") if d],
                )
            )
        yield pb.ExecuteResponse(delegate=pb.Delegate(steps=steps))

    async def approver(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Delegates a step that a person must approve."""
        if request.delegated:
            yield pb.ExecuteResponse(output=StepOutput(text=f"pay={request.delegated[0].output.text}"))
            return
        step = Step(step_id="pay", agent="noop", instruction="pay", requires_approval=True)
        yield pb.ExecuteResponse(delegate=pb.Delegate(steps=[step]))

    async def again(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Delegates as many times as its instruction says, each step behind the one before."""
        done = [d.step_id for d in request.delegated]
        if len(done) == int(request.instruction):
            yield pb.ExecuteResponse(output=StepOutput(text=",".join(done)))
            return
        step = Step(step_id=f"n{len(done)}", agent="noop", instruction="x", depends_on=done[-1:])
        yield pb.ExecuteResponse(delegate=pb.Delegate(steps=[step]))

    async def deep(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Delegates to its own kind, as deep as its instruction says."""
        if request.delegated or request.instruction == "0":
            yield pb.ExecuteResponse(output=StepOutput(text=f"{len(request.delegated)}"))
            return
        step = Step(step_id="n", agent="deep", instruction=str(int(request.instruction) - 1))
        yield pb.ExecuteResponse(delegate=pb.Delegate(steps=[step]))

    async def repeating(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Delegates the same step, again and again."""
        yield pb.ExecuteResponse(delegate=pb.Delegate(steps=[Step(step_id="same", agent="noop", instruction="x")]))

    async def risky(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Delegates a step that completes and one behind it that fails until the attempt that its instruction names."""
        if request.delegated:
            yield pb.ExecuteResponse(output=StepOutput(text=",".join(d.output.text for d in request.delegated)))
            return
        flaky = Step(step_id="f", agent="flaky", instruction=request.instruction, depends_on=["ok"])
        flaky.retry_policy.max_attempts = 1
        steps = [Step(step_id="ok", agent="noop", instruction="x"), flaky]
        yield pb.ExecuteResponse(delegate=pb.Delegate(steps=steps))

    async def raising(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Fails in a way that nobody foresaw: with the exception that its instruction names."""
        yield pb.ExecuteResponse(progress=pb.Progress(message="begins"))
        kinds = (ValueError, KeyError, TimeoutError, OSError, asyncio.CancelledError)
        raise {kind.__name__: kind for kind in kinds}[request.instruction]("secret words")

    async def narrow(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """Two at once; each waits for its task's gate."""
        async for response in self.hanging(request):
            yield response

    async def single(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        """One at a time; it waits for its task's gate."""
        async for response in self.hanging(request):
            yield response

    async def speechless(self, request: pb.ExecuteRequest) -> AsyncIterator[pb.ExecuteResponse]:
        return
        yield


class SingleCallsOnly(AgentServicer):
    """A server in the simplest form: `Describe` and `Execute`, as one in another language may be."""

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        response = await super().Describe(request, context)
        response.multiplexed = False
        return response


@asynccontextmanager
async def scripted_agents(listen: str, *, multiplexed: bool = True) -> AsyncIterator[ScriptedAgents]:
    """Serves the agents at an address."""
    agents, drain = ScriptedAgents(), Drain()
    servicer = (AgentServicer if multiplexed else SingleCallsOnly)(agents, drain=drain)

    def register(server: grpc.aio.Server) -> None:
        servicer.add_to(server)

    settings = ServerSettings(listen=listen, grace_seconds=0)
    services = {"troupe.api.agent.v1.AgentService": register}
    async with serving(settings, drain=drain, services=services, dependencies={}):
        yield agents
