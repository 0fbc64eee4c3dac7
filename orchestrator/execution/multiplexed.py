"""Many calls on one stream to an agent server: what is ready in one loop tick travels in one message.

A gRPC message costs Python some hundred times what the step in it does, so that sharing messages is what makes small
steps fast.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final

import grpc.aio

from orchestrator.execution.failures import explained, late
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.telemetry.propagation import trace_metadata

if TYPE_CHECKING:
    from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

# What a call may have waiting before the stream is no longer read.
_MAILBOX: Final = 1_000
_MESSAGE_BYTES: Final = 1 << 20
# The agent's server watches the time as well; it explains better.
_LATENESS_SECONDS: Final = 1.0


class _Mailbox:
    """What has come for one call."""

    __slots__ = ("_closed", "_ring", "_room", "failure", "received")

    def __init__(self) -> None:
        self.received: deque[pb.ExecuteResponse] = deque()
        self.failure: TroupeError | None = None
        self._ring = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    async def put(self, event: pb.StepCallEvent) -> None:
        if event.HasField("error"):
            self.fail(TroupeError.from_proto(event.error))
            return
        while len(self.received) >= _MAILBOX and not self._closed:
            self._room.clear()
            await self._room.wait()
        self.received.append(event.response)
        self._ring.set()

    def close(self) -> None:
        """Nobody takes anything more: what still comes must not hold up the other calls."""
        self._closed = True
        self._room.set()

    def fail(self, failure: TroupeError) -> None:
        self.failure = self.failure or failure
        self._ring.set()

    async def get(self) -> pb.ExecuteResponse:
        while not self.received:
            if self.failure is not None:
                raise self.failure
            self._ring.clear()
            await self._ring.wait()
        self._room.set()
        return self.received.popleft()


class MultiplexedCalls:
    """Executes steps on the server of a channel. Use as a context manager: leaving it ends the stream."""

    def __init__(self, channel: grpc.aio.Channel, *, on_end: Callable[[], None]) -> None:
        """`on_end` is called when the stream has ended, which says that the server may be gone."""
        self._on_end = on_end
        self._stub: AgentServiceAsyncStub = AgentServiceStub(channel)
        self._ids = itertools.count(1)
        self._mailboxes: dict[int, _Mailbox] = {}
        self._unsent: deque[pb.StepCall] = deque()
        self._filled = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "MultiplexedCalls":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.cancel()
            await asyncio.gather(self._stream, return_exceptions=True)

    async def execute(
        self, step: pb.ExecuteRequest, *, timeout_seconds: float
    ) -> AsyncGenerator[pb.ExecuteResponse, None]:
        """Executes an attempt; closing the iterator cancels it.

        Raises:
            TroupeError: why it failed.
        """
        call_id, mailbox = next(self._ids), _Mailbox()
        start = pb.StartCall(request=step, metadata=dict(trace_metadata()))
        start.timeout.FromMilliseconds(max(1, int(timeout_seconds * 1000)))
        self._mailboxes[call_id] = mailbox
        self._send(pb.StepCall(call_id=call_id, start=start))
        alarm = asyncio.get_running_loop().call_later(
            timeout_seconds + _LATENESS_SECONDS, mailbox.fail, late(step.agent, timeout_seconds)
        )
        ended = False
        try:
            while not ended:
                response = await mailbox.get()
                ended = response.WhichOneof("event") in {"output", "delegate"}
                yield response
        finally:
            alarm.cancel()
            mailbox.close()
            del self._mailboxes[call_id]
            if not ended:
                self._send(pb.StepCall(call_id=call_id, cancel=pb.CancelCall()))

    def _send(self, call: pb.StepCall) -> None:
        self._unsent.append(call)
        self._filled.set()
        if self._stream is None or self._stream.done():
            self._stream = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """One stream, until it breaks; the next call opens another."""
        stream = self._stub.ExecuteMany()
        reading = asyncio.create_task(self._read(stream))
        writing = asyncio.create_task(self._write(stream))
        try:
            await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
            failure = _gone("the agent's server ended the stream of calls")
            for task in (reading, writing):
                if task.done() and isinstance(error := task.exception(), grpc.aio.AioRpcError):
                    failure = explained(error)
        finally:
            stream.cancel()
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
        self._unsent.clear()
        for mailbox in self._mailboxes.values():
            mailbox.fail(failure)
        self._on_end()

    async def _read(self, stream: "grpc.aio.StreamStreamCall[pb.ExecuteManyRequest, pb.ExecuteManyResponse]") -> None:
        async for message in stream:
            for event in message.events:
                if mailbox := self._mailboxes.get(event.call_id):
                    await mailbox.put(event)

    async def _write(self, stream: "grpc.aio.StreamStreamCall[pb.ExecuteManyRequest, pb.ExecuteManyResponse]") -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._unsent:
                await stream.write(self._message())

    def _message(self) -> pb.ExecuteManyRequest:
        """What is unsent, up to about the size of a message."""
        calls: list[pb.StepCall] = []
        size = 0
        while self._unsent and (not calls or size + self._unsent[0].ByteSize() <= _MESSAGE_BYTES):
            call = self._unsent.popleft()
            size += call.ByteSize()
            calls.append(call)
        return pb.ExecuteManyRequest(calls=calls)


def _gone(problem: str) -> TroupeError:
    return TroupeError(ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE, problem)
