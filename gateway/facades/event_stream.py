"""A task as Server-Sent Events.

https://html.spec.whatwg.org/multipage/server-sent-events.html

Browsers connect again when such a stream ends, and stop only at an answer that is no 200. A stream that goes on behind
the last event of a task is therefore answered with 204, and one that goes on while the backend is down with 200.
"""

import asyncio
from collections.abc import Iterable
from typing import ClassVar, Final

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.gateway.dialects import Asked
from troupe.gateway.downstream.exchange import Downstream, Upload
from troupe.gateway.facades.events import CHECKPOINT, NamedEvent, WatchCall
from troupe.gateway.facades.failure import DRAINING, Failure
from troupe.gateway.facades.messages import method_path
from troupe.gateway.facades.opening import OpenCall, OpenedCall
from troupe.gateway.wire.dialect import Ending, ResponseHead
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.status import Code

_HEADERS: Final[Headers] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)
_NO_MORE: Final = ResponseHead(204, ((b"cache-control", b"no-store"),))
_OPENING: Final = b"retry: 2000\n: the events follow\n\n"
_ALIVE: Final = b":\n\n"
# Behind the last event too: what a browser gets then is the 204 at which it stops.
_RECONNECT: Final = b": connect again and go on where you were\nretry: 500\n\n"
# A backend answers at once, unless the task has no event that the client lacks.
_SILENCE_SECONDS: Final = 0.5


class _Events(WatchCall):
    """The dialect of an event stream."""

    name: ClassVar[str] = "sse"

    def __init__(
        self, head: RequestHead, request: pb.WatchTaskRequest, *, max_response_bytes: int, reconnects: bool
    ) -> None:
        """`reconnects`: the client connects again by itself, and would never try again if it was told 503."""
        super().__init__(head, request, max_response_bytes=max_response_bytes)
        self.committed = False
        """Whether the client has seen the head of the response."""
        self._reconnects = reconnects

    def begin(self, metadata: Headers) -> ResponseHead | None:
        own = {name for name, _ in _HEADERS}
        return ResponseHead(200, (*_HEADERS, *[pair for pair in metadata if pair[0] not in own]))

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        failure = Failure.of(outcome)
        if self.committed:
            return Ending(None, _RECONNECT if failure is None else _failed(failure))
        if failure is not None and self._reconnects and failure.code is Code.UNAVAILABLE:
            return Ending(ResponseHead(200, _HEADERS), _OPENING + _failed(failure))
        if failure is not None:
            return failure.ending()
        return Ending(_NO_MORE if self._request.after_sequence else ResponseHead(200, _HEADERS))

    def _write(self, event: NamedEvent) -> bytes:
        if event.name == CHECKPOINT:
            return b": checkpoint %d\n\n" % event.sequence
        return f"event: {event.name}\nid: {event.sequence}\ndata: {event.json}\n\n".encode()


def _failed(failure: Failure) -> bytes:
    if failure.reason == DRAINING:
        return _RECONNECT
    return f"event: error\ndata: {failure.json()}\n\n".encode()


class EventStream:
    """Stands between a client and the call that watches a task: a `Downstream` to this one, an `Upload` to that one.

    It holds the response's head back until there is something to send, so that an error or the end can still be told
    by the status, but not for longer than a moment; and it keeps the stream open while nothing happens.
    """

    def __init__(
        self,
        head: RequestHead,
        request: pb.WatchTaskRequest,
        *,
        max_response_bytes: int,
        reconnects: bool,
        idle_seconds: float,
    ) -> None:
        self._events = _Events(head, request, max_response_bytes=max_response_bytes, reconnects=reconnects)
        self._idle_seconds = idle_seconds
        self._downstream: Downstream
        self._call: OpenedCall | None = None
        self._head: tuple[int, Headers, int | None] | None = None
        self._quiet = False
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def open(self, calls: OpenCall, downstream: Downstream) -> Upload:
        self._downstream = downstream
        self._wait(_SILENCE_SECONDS)
        self._call = calls(Asked(method_path("WatchTask"), self._events), self)
        return self

    # From the call.

    @property
    def congested(self) -> bool:
        return self._downstream.congested

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None) -> None:
        self._head = status, tuple(headers), length

    def write(self, data: bytes) -> None:
        if data:
            self._quiet = False
            self._commit()
            self._downstream.write(data)

    def end(self, data: bytes = b"", trailers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._stop()
        if not self._events.committed and self._head is not None:
            status, headers, length = self._head
            self._downstream.start(status, headers, length=length)
        self._downstream.end(data)

    def break_off(self) -> None:
        self._stop()
        self._downstream.break_off()

    def pause_body(self) -> None:
        self._downstream.pause_body()

    def resume_body(self) -> None:
        self._downstream.resume_body()

    # From the client.

    def body(self, data: bytes) -> None:
        pass

    def body_ended(self) -> None:
        if self._call is not None:
            self._call.body_ended()

    def writable(self) -> None:
        if self._call is not None:
            self._call.writable()

    def gone(self) -> None:
        self._stop()
        if self._call is not None:
            self._call.gone()

    def _commit(self) -> None:
        if self._events.committed:
            return
        if self._head is None and self._call is not None:
            self._call.start_response()
        if self._head is not None:
            self._events.committed = True
            self._downstream.start(self._head[0], self._head[1])
            self._downstream.write(_OPENING)

    def _tick(self) -> None:
        if not self._events.committed:
            self._commit()
        elif self._quiet and not self._downstream.congested:
            self._downstream.write(_ALIVE)
        self._quiet = True
        self._wait(self._idle_seconds)

    def _wait(self, seconds: float) -> None:
        if not self._over:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _stop(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
