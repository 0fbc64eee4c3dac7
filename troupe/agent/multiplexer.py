"""The agent's side of `ExecuteMany`: many calls on one stream, what is ready in one message."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from troupe.agent.executor import StepExecutor
from troupe.agent.frames import Unreadable, UnreadableFrameError, calls_of
from troupe.agent.guarded import guarded
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.background import stop
from troupe.core.errors import TroupeError
from troupe.core.logs import bound, get_logger
from troupe.core.server import Drain, draining_error
from troupe.core.telemetry.propagation import TRACEPARENT
from troupe.core.telemetry.spans import remote_span
from troupe.core.validation import check_rules

_MESSAGE_BYTES: Final = 1 << 20
_METHOD: Final = "troupe.api.agent.v1.AgentService/Execute"
# What may wait to be sent before the calls wait.
_OUTBOX_BYTES: Final = 4 * _MESSAGE_BYTES


class Multiplexer:
    """The calls of one stream. Leaving the block cancels those that run."""

    def __init__(self, executor: StepExecutor, *, drain: Drain) -> None:
        self._executor = executor
        self._drain = drain
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._outbox: deque[pb.StepCallEvent] = deque()
        self._outbox_bytes = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._closed = False

    async def __aenter__(self) -> "Multiplexer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop(*self._calls.values())

    async def serve(
        self, requests: AsyncIterator[pb.ExecuteManyRequest | bytes]
    ) -> AsyncIterator[pb.ExecuteManyResponse]:
        """Takes calls and yields what happens in them. Of encoded requests a call that cannot be read fails alone.

        Ends when all have ended and the caller has closed its side, or the server drains.

        Raises:
            TroupeError: INVALID_REQUEST; a request cannot be read, and does not say whose it is.
        """
        reading = asyncio.create_task(self._read(requests))
        waking = asyncio.create_task(self._wake_on_drain())
        try:
            while not (self._closed or self._drain.started) or self._calls or self._outbox:
                await self._filled.wait()
                self._filled.clear()
                if reading.done() and isinstance(reading.exception(), UnreadableFrameError):
                    raise TroupeError(ErrorReason.ERROR_REASON_INVALID_REQUEST, "a message of calls cannot be read")
                while self._outbox:
                    yield self._message()
        finally:
            await stop(reading, waking)

    async def _wake_on_drain(self) -> None:
        await self._drain.wait()
        self._filled.set()

    async def _read(self, requests: AsyncIterator[pb.ExecuteManyRequest | bytes]) -> None:
        try:
            async for request in requests:
                for call in calls_of(request) if isinstance(request, bytes) else request.calls:
                    await self._take(call)
        finally:
            self._closed = True
            self._filled.set()

    async def _take(self, call: pb.StepCall | Unreadable) -> None:
        if isinstance(call, Unreadable):
            error = TroupeError(ErrorReason.ERROR_REASON_INVALID_REQUEST, "the call cannot be read: it is no protobuf")
            await self._send(pb.StepCallEvent(call_id=call.call_id, error=error.to_proto()))
        elif call.HasField("start"):
            self._begin(call.call_id, call.start)
        elif call.HasField("cancel") and (running := self._calls.get(call.call_id)):
            running.cancel()

    def _begin(self, call_id: int, start: pb.StartCall) -> None:
        def forget(_: asyncio.Task[None]) -> None:
            self._calls.pop(call_id, None)
            self._filled.set()

        self._calls[call_id] = asyncio.create_task(self._run(call_id, start))
        # Not at the end of the coroutine, which never runs when a call is cancelled as soon as it is started.
        self._calls[call_id].add_done_callback(forget)

    async def _run(self, call_id: int, start: pb.StartCall) -> None:
        step = start.request
        ids: Any = {name: getattr(step, name) for name in ("task_id", "step_id", "agent", "attempt")}
        try:
            timeout = start.timeout.ToNanoseconds() / 1e9 if start.HasField("timeout") else None
            with (
                remote_span(_METHOD, start.metadata[TRACEPARENT] if start.metadata else "", **ids),
                bound(**ids),
            ):
                await self._execute(call_id, step, timeout)
        except TroupeError as error:
            await self._send(pb.StepCallEvent(call_id=call_id, error=error.to_proto()))
        except Exception as error:  # noqa: BLE001 - the edge: a call that is not answered holds its step up
            name = type(error).__name__
            get_logger().error("call failed", error=name, exc_info=error)
            told = TroupeError(ErrorReason.ERROR_REASON_AGENT_FAILED, f"the agent's server failed with {name}")
            await self._send(pb.StepCallEvent(call_id=call_id, error=told.to_proto()))

    async def _execute(self, call_id: int, step: pb.ExecuteRequest, timeout: float | None) -> None:
        if self._drain.started:
            raise draining_error()
        check_rules(step)
        async with aclosing(guarded(self._executor, step, timeout_seconds=timeout)) as responses:
            async for response in responses:
                await self._send(pb.StepCallEvent(call_id=call_id, response=response))

    async def _send(self, event: pb.StepCallEvent) -> None:
        while self._outbox_bytes > _OUTBOX_BYTES:
            self._emptied.clear()
            await self._emptied.wait()
        self._outbox.append(event)
        self._outbox_bytes += event.ByteSize()
        self._filled.set()

    def _message(self) -> pb.ExecuteManyResponse:
        """What waits, up to about the size of a message."""
        events: list[pb.StepCallEvent] = []
        size = 0
        while self._outbox and (not events or size + self._outbox[0].ByteSize() <= _MESSAGE_BYTES):
            event = self._outbox.popleft()
            size += event.ByteSize()
            events.append(event)
        self._outbox_bytes -= size
        self._emptied.set()
        return pb.ExecuteManyResponse(events=events)
