"""An agent server of scripted behaviour: `python -m tests.bench.chaos.agents HOST:PORT [single]`.

Instructions are `key=value` pairs: `seconds` to work, `numbers` to count, `until` the attempt that succeeds, and the
`seed` and `depth` of what is delegated. A `single` server takes one call a step, as one in another language may.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

import grpc.aio

from tests.bench.chaos.graphs import delegated_steps
from tests.bench.chaos.outputs import counted, expected_text
from tests.support.scripted_agents import SingleCallsOnly
from troupe.agent import AgentServicer
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.core.server import Drain, ServerSettings, run, serving

# How many steps of each a server takes at once: few enough of some that steps wait in line.
CONCURRENCY: Final[Mapping[str, int]] = {
    "noop": 2,
    "sleeper": 8,
    "counter": 6,
    "flaky": 4,
    "refusing": 2,
    "spender": 2,
    "delegator": 3,
}
NAMES: Final = tuple(CONCURRENCY)
# What is logged at the begin of each execution.
EXECUTES: Final = "executes"

Responses = AsyncGenerator[pb.ExecuteResponse, None]
Instruction = Mapping[str, str]


class ChaosAgents:
    """Every agent ends with the output that `expected_text` tells, and the number of its attempt as data."""

    def descriptors(self) -> Sequence[pb.AgentDescriptor]:
        return [pb.AgentDescriptor(name=name, max_concurrency=most) for name, most in CONCURRENCY.items()]

    async def execute(self, step: pb.ExecuteRequest, *, timeout_seconds: float | None) -> Responses:
        get_logger().info(EXECUTES, task_id=step.task_id, step_id=step.step_id, attempt=step.attempt)
        instruction = dict(pair.split("=") for pair in step.instruction.split())
        if step.agent == "delegator" and not step.delegated:
            await asyncio.sleep(float(instruction["seconds"]))
            yield pb.ExecuteResponse(delegate=pb.Delegate(steps=delegated_steps(instruction)))
            return
        async for response in getattr(self, step.agent)(step, instruction):
            yield response
        inputs = [known.output.text for known in (*step.dependencies, *step.delegated)]
        text = expected_text(step.step_id, inputs)
        yield pb.ExecuteResponse(output=StepOutput(text=text, data=b"%d" % step.attempt))

    async def noop(self, request: pb.ExecuteRequest, instruction: Instruction) -> Responses:
        return
        yield

    async def delegator(self, request: pb.ExecuteRequest, instruction: Instruction) -> Responses:
        """What it delegated has completed."""
        return
        yield

    async def sleeper(self, request: pb.ExecuteRequest, instruction: Instruction) -> Responses:
        yield pb.ExecuteResponse(progress=pb.Progress(message="sleeps", fraction=0.0))
        await asyncio.sleep(float(instruction["seconds"]))
        yield pb.ExecuteResponse(progress=pb.Progress(message="wakes", fraction=1.0))

    async def counter(self, request: pb.ExecuteRequest, instruction: Instruction) -> Responses:
        """Streams the numbers from 0, spread over its time: one by one, or many of them in a few large pieces."""
        numbers = int(instruction["numbers"])
        piece = 1 if numbers < 100 else numbers // 4
        for first in range(0, numbers, piece):
            text = counted(range(first, min(numbers, first + piece)))
            yield pb.ExecuteResponse(text_delta=pb.TextDelta(text=text))
            await asyncio.sleep(float(instruction["seconds"]) * piece / numbers)

    async def flaky(self, request: pb.ExecuteRequest, instruction: Instruction) -> Responses:
        """Fails until the attempt that succeeds, with an error that says that it can be retried."""
        yield pb.ExecuteResponse(text_delta=pb.TextDelta(text=counted(range(1))))
        await asyncio.sleep(float(instruction["seconds"]))
        if request.attempt < int(instruction["until"]):
            raise TroupeError(ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, "the model sleeps")

    async def refusing(self, request: pb.ExecuteRequest, instruction: Instruction) -> Responses:
        """Fails until the attempt that succeeds, with an error that is retried only where the step's policy says so."""
        if request.attempt < int(instruction["until"]):
            raise TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, "the model refused `x`")
        return
        yield

    async def spender(self, request: pb.ExecuteRequest, instruction: Instruction) -> Responses:
        for _ in range(2):
            usage = Usage(input_tokens=70, output_tokens=30, cost_usd_micros=500, model_calls=1, model="m")
            yield pb.ExecuteResponse(usage=usage)
            await asyncio.sleep(float(instruction["seconds"]))


async def _main(drain: Drain) -> None:
    servicer = SingleCallsOnly if "single" in sys.argv[2:] else AgentServicer

    def register(server: grpc.aio.Server) -> None:
        servicer(ChaosAgents(), drain=drain).add_to(server)

    settings = ServerSettings(listen=sys.argv[1], grace_seconds=1)
    services = {"troupe.api.agent.v1.AgentService": register}
    async with serving(settings, drain=drain, services=services, dependencies={}):
        await drain.wait()


if __name__ == "__main__":
    run("agents", _main)
