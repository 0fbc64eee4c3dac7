"""An agent server that knows nothing of Troupe but its contract: every byte and status as a test wants it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import Error

Context = grpc.aio.ServicerContext[Any, Any]
DONE = pb.ExecuteResponse(output=StepOutput(text="done")).SerializeToString()


def framed(field_number: int, body: bytes) -> bytes:
    """A field of bytes on the wire."""
    length, size = b"", len(body)
    while size >= 128:
        length += bytes([size % 128 + 128])
        size //= 128
    return bytes([field_number * 8 + 2]) + length + bytes([size]) + body


@dataclass(frozen=True)
class Answer:
    """What an attempt is answered with: encoded responses, then a status. `raw_details` stand for `details`."""

    responses: Sequence[bytes] = ()
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = "words"
    details: Sequence[Message] = ()
    raw_details: bytes | None = None
    waits: bool = False
    """Whether the responses wait for `PlainAgents.gate`."""


@dataclass
class PlainAgents:
    """Answers by the instruction of a step; an attempt beyond the last answer gets `DONE`.

    With `multiplexed` calls come over `ExecuteMany`.
    """

    answers: dict[str, Sequence[Answer]]
    names: Sequence[str] = ("plain",)
    multiplexed: bool = False
    described: bytes | None = None
    breaks_stream: set[str] = field(default_factory=set)
    """Instructions that end the stream of calls, as a server does that cannot read them."""
    stream_code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    garbles_stream: set[str] = field(default_factory=set)
    """Instructions that are answered by bytes which are no message at all."""
    begins: set[str] = field(default_factory=set)
    """Instructions whose first response does not wait for the gate."""
    asked: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, step: pb.ExecuteRequest) -> Answer:
        answers = self.answers.get(step.instruction, ())
        self.asked[step.instruction] += 1
        number = self.asked[step.instruction]
        return answers[number - 1] if number <= len(answers) else Answer([DONE])

    async def describe(self, request: bytes, context: Context) -> bytes:
        if self.described is not None:
            return self.described
        agents = [pb.AgentDescriptor(name=name, max_concurrency=64) for name in self.names]
        return pb.DescribeResponse(agents=agents, multiplexed=self.multiplexed).SerializeToString()

    async def execute(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        step = pb.ExecuteRequest.FromString(request)
        self.alone[step.instruction] += 1
        answer = self.answer(step)
        first = int(step.instruction in self.begins)
        for response in answer.responses[:first]:
            yield response
        if answer.waits:
            await self.gate.wait()
        for response in answer.responses[first:]:
            yield response
        if answer.code is grpc.StatusCode.OK and answer.raw_details is None:
            return
        status = status_pb2.Status(code=answer.code.value[0], message=answer.message)
        for detail in answer.details:
            status.details.add().Pack(detail)
        trailers = rpc_status.to_status(status).trailing_metadata if answer.details else ()
        if answer.raw_details is not None:
            trailers = (("grpc-status-details-bin", answer.raw_details),)
        await context.abort(answer.code, answer.message, trailers)

    async def execute_many(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        tasks: set[asyncio.Task[None]] = set()
        tasks.add(asyncio.create_task(self._read(requests, frames, tasks)))
        try:
            while (frame := await frames.get()) is not None:
                yield frame
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await context.abort(self.stream_code, "a message cannot be read")

    async def _read(
        self, requests: AsyncIterator[bytes], frames: "asyncio.Queue[bytes | None]", tasks: set[asyncio.Task[None]]
    ) -> None:
        async for request in requests:
            events = b""
            for call in pb.ExecuteManyRequest.FromString(request).calls:
                if not call.HasField("start"):
                    continue
                instruction = call.start.request.instruction
                if instruction in self.breaks_stream:
                    await frames.put(None)
                elif instruction in self.garbles_stream:
                    await frames.put(b"\xff\xff\xff")
                else:
                    answer = self.answer(call.start.request)
                    if instruction in self.begins:
                        events += framed(1, _event(call.call_id, 2, answer.responses[0]))
                        answer = replace(answer, responses=answer.responses[1:])
                    if answer.waits:
                        tasks.add(asyncio.create_task(self._later(answer, call.call_id, frames)))
                    else:
                        events += _events(answer, call.call_id)
            if events:
                await frames.put(events)

    async def _later(self, answer: Answer, call_id: int, frames: "asyncio.Queue[bytes | None]") -> None:
        await self.gate.wait()
        await frames.put(_events(answer, call_id))


def _events(answer: Answer, call_id: int) -> bytes:
    """The events of a call, as fields of a message."""
    events = [_event(call_id, 2, response) for response in answer.responses]
    if answer.code is not grpc.StatusCode.OK or answer.raw_details is not None:
        events.append(_event(call_id, 3, _error(answer)))
    return b"".join(framed(1, event) for event in events)


def _event(call_id: int, field_number: int, body: bytes) -> bytes:
    return pb.StepCallEvent(call_id=call_id).SerializeToString() + framed(field_number, body)


def _error(answer: Answer) -> bytes:
    error = Error(code=answer.code.value[0], message=answer.message)
    for detail in answer.details:
        if isinstance(detail, error_details_pb2.RetryInfo):
            error.retry_delay.CopyFrom(detail.retry_delay)
    return answer.raw_details if answer.raw_details is not None else error.SerializeToString()


@asynccontextmanager
async def plain_agents(listen: str, agents: PlainAgents) -> AsyncIterator[PlainAgents]:
    """Serves the agents at an address."""
    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Describe": grpc.unary_unary_rpc_method_handler(agents.describe),
        "Execute": grpc.unary_stream_rpc_method_handler(agents.execute),
        "ExecuteMany": grpc.stream_stream_rpc_method_handler(agents.execute_many),
    }
    service = "troupe.api.agent.v1.AgentService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(listen)
    await server.start()
    try:
        yield agents
    finally:
        await server.stop(0)
