"""Many calls on one stream to an agent server: what is ready in one loop tick travels in one message.

A gRPC message costs Python some hundred times what the step in it does, so that sharing messages is what makes small
steps fast.

A stream that breaks although its server is there was broken by one of its calls, and nobody can say by which. So all
of them go on apart, by calls of their own, and so do those that come in the next minute: what broke it fails alone.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import grpc
import grpc.aio

from troupe.agent.frames import Unreadable, events_of
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.background import stop
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.core.telemetry.propagation import trace_metadata
from troupe.orchestrator.execution.failures import CallInterruptedError, explained, garbage, late, told
from troupe.orchestrator.execution.single import SingleCalls

_METHOD: Final = f"/{pb.DESCRIPTOR.services_by_name['AgentService'].full_name}/ExecuteMany"
# What a call may have waiting before the stream is no longer read.
_MAILBOX: Final = 1_000
_MESSAGE_BYTES: Final = 1 << 20
# The agent's server watches the time as well; it explains better.
_LATENESS_SECONDS: Final = 1.0
# How long calls go apart after they broke a stream.
_APART_SECONDS: Final = 60.0
# Statuses of a server that is gone, which no call can have brought about.
_GONE: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

_Stream = grpc.aio.StreamStreamCall[pb.ExecuteManyRequest, bytes]


class _BrokenStreamError(Exception):
    """The stream broke although its server is there."""


class _Mailbox:
    """What has come for one call."""

    __slots__ = ("_closed", "_ring", "_room", "failure", "over", "received")

    def __init__(self) -> None:
        self.received: deque[pb.ExecuteResponse] = deque()
        self.failure: TroupeError | _BrokenStreamError | None = None
        self.over = False
        """Whether the server does nothing more for the call."""
        self._ring = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    async def put(self, event: pb.StepCallEvent) -> None:
        if not event.HasField("response"):
            self.over = event.HasField("error")
            self.fail(told(event.error) if self.over else garbage("an event without content"))
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

    def fail(self, failure: TroupeError | _BrokenStreamError) -> None:
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
        # Responses are decoded here, event by event where one cannot be read.
        self._open: grpc.aio.StreamStreamMultiCallable[pb.ExecuteManyRequest, bytes] = channel.stream_stream(
            _METHOD, request_serializer=pb.ExecuteManyRequest.SerializeToString
        )
        self._single = SingleCalls(channel)
        self._apart_until = 0.0
        self._ids = itertools.count(1)
        self._mailboxes: dict[int, _Mailbox] = {}
        self._unsent: deque[pb.StepCall] = deque()
        self._filled = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "MultiplexedCalls":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            await stop(self._stream)

    async def execute(
        self, step: pb.ExecuteRequest, *, timeout_seconds: float
    ) -> AsyncGenerator[pb.ExecuteResponse, None]:
        """Executes an attempt; closing the iterator cancels it.

        Raises:
            TroupeError: why it failed.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_seconds
        if loop.time() >= self._apart_until:
            call_id, mailbox = next(self._ids), _Mailbox()
            self._mailboxes[call_id] = mailbox
            self._send(_start(call_id, step, timeout_seconds))
            alarm = loop.call_at(ends + _LATENESS_SECONDS, mailbox.fail, late(step.agent, timeout_seconds))
            heard = ended = False
            try:
                while not ended:
                    response = await mailbox.get()
                    heard = True
                    ended = response.WhichOneof("event") in {"output", "delegate"}
                    if ended and (mailbox.received or mailbox.failure is not None):
                        raise garbage("more behind its result")
                    yield response
                return
            except _BrokenStreamError:
                if heard:  # what was said cannot be taken back
                    raise CallInterruptedError from None
            finally:
                alarm.cancel()
                mailbox.close()
                del self._mailboxes[call_id]
                if not ended and not mailbox.over:
                    self._send(pb.StepCall(call_id=call_id, cancel=pb.CancelCall()))
        left = max(0.001, ends - loop.time())
        async with aclosing(self._single.execute(step, timeout_seconds=left)) as responses:
            async for response in responses:
                yield response

    def _send(self, call: pb.StepCall) -> None:
        self._unsent.append(call)
        self._filled.set()
        if self._stream is None or self._stream.done():
            self._stream = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """One stream, until it breaks; the next call opens another."""
        stream = self._open()
        reading = asyncio.create_task(self._read(stream))
        writing = asyncio.create_task(self._write(stream))
        try:
            await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([reading], timeout=_LATENESS_SECONDS)  # it knows how the stream ended
            failure = self._failure(reading.exception() if reading.done() else None)
        finally:
            stream.cancel()
            await stop(reading, writing)
        self._unsent.clear()
        for mailbox in self._mailboxes.values():
            mailbox.over = True
            mailbox.fail(failure)
        self._on_end()

    def _failure(self, error: BaseException | None) -> TroupeError | _BrokenStreamError:
        """What the end of the stream means for the calls that are on it."""
        if error is None:
            return TroupeError(
                ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE, "the agent's server ended the stream of calls"
            )
        if isinstance(error, grpc.aio.AioRpcError) and error.code() in _GONE:
            return explained(error)
        problem = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
        get_logger().warning("stream of calls broke: they go on apart", problem=problem, calls=len(self._mailboxes))
        self._apart_until = asyncio.get_running_loop().time() + _APART_SECONDS
        return _BrokenStreamError()

    async def _read(self, stream: _Stream) -> None:
        async for message in stream:
            for event in events_of(message):
                if not (mailbox := self._mailboxes.get(event.call_id)):
                    continue
                if isinstance(event, Unreadable):
                    mailbox.fail(garbage("bytes that cannot be read"))
                else:
                    await mailbox.put(event)

    async def _write(self, stream: _Stream) -> None:
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


def _start(call_id: int, step: pb.ExecuteRequest, timeout_seconds: float) -> pb.StepCall:
    start = pb.StartCall(request=step, metadata=dict(trace_metadata()))
    start.timeout.FromMilliseconds(max(1, int(timeout_seconds * 1000)))
    return pb.StepCall(call_id=call_id, start=start)
