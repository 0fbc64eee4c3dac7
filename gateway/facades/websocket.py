"""A task over a WebSocket: events as text messages, and a way back. RFC 6455."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.utilities import generate_accept_token

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.gateway.dialects import Asked
from troupe.gateway.downstream.exchange import Downstream, Upload
from troupe.gateway.facades.commands import TOO_MANY, Order
from troupe.gateway.facades.diverted import Diverted
from troupe.gateway.facades.events import CHECKPOINT, TERMINAL, NamedEvent, WatchCall
from troupe.gateway.facades.failure import DRAINING, Failure
from troupe.gateway.facades.messages import method_path
from troupe.gateway.facades.opening import OpenCall
from troupe.gateway.wire.dialect import Ending, RequestError
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.json_text import compact_json
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.status import Code

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
POLICY: Final = 1008
TOO_LARGE: Final = 1009
BROKEN: Final = 1011


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What a client may ask of a socket."""

    max_response_bytes: int
    """Of a message of the backend."""
    ping_seconds: float = 15
    close_seconds: float = 2
    max_message_bytes: int = 64 << 10
    max_waiting: int = 8
    """Requests whose answers have not come."""
    burst: int = 64
    """Frames that may come at once, beyond `frames_per_second`."""
    frames_per_second: float = 8


class _Events(WatchCall):
    """The dialect of the events: each is a frame of the socket."""

    name: ClassVar[str] = "websocket"

    def __init__(
        self,
        head: RequestHead,
        request: pb.WatchTaskRequest,
        *,
        max_response_bytes: int,
        frame: Callable[[str], bytes],
    ) -> None:
        super().__init__(head, request, max_response_bytes=max_response_bytes)
        self.failure: Failure | None = None
        self._frame = frame

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        self.failure = Failure.of(outcome)
        behind_the_end = self._request.after_sequence and not self._last_name
        if self.failure is None and not behind_the_end and self._last_name not in TERMINAL:
            self.failure = Failure(Code.UNAVAILABLE, "the backend ended the stream before the task had ended")
        return Ending(None)

    def _write(self, event: NamedEvent) -> bytes:
        if event.name == CHECKPOINT:  # pings keep the socket open
            return b""
        return self._frame(f'{{"event":"{event.name}","sequence":{event.sequence},"data":{event.json}}}')


class TaskSocket:
    """An open socket: an `Upload` to the client's connection."""

    def __init__(self, head: RequestHead, request: pb.WatchTaskRequest, limits: SocketLimits) -> None:
        self._head = head
        self._task_id = request.task_id
        self._limits = limits
        self._peer = Connection(ConnectionType.SERVER)
        self._events = _Events(head, request, max_response_bytes=limits.max_response_bytes, frame=self._frame)
        self._downstream: Downstream
        self._calls: OpenCall
        self._watch: Upload | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._parts: list[str] = []
        self._message_bytes = 0
        self._waiting = 0
        self._allowance = float(limits.burst)
        self._allowance_at = self._loop.time()
        self._heard = True
        self._over = False

    def open(self, calls: OpenCall, downstream: Downstream) -> Upload:
        self._calls, self._downstream = calls, downstream
        token = generate_accept_token(self._head.get(b"sec-websocket-key"))
        downstream.start(
            101, ((b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", token))
        )
        self._timer = self._loop.call_later(self._limits.ping_seconds, self._ping)
        watch = calls(
            Asked(method_path("WatchTask"), self._events),
            Diverted(write=self._on_events, ended=self._on_events_ended, congested=lambda: downstream.congested),
        )
        if not self._closing:
            self._watch = watch
            watch.body_ended()
        return self

    # From the client.

    def body(self, data: bytes) -> None:
        if self._over:
            return
        self._heard = True
        self._peer.receive_data(data)
        for event in self._peer.events():
            self._on_event(event)
            if self._over:
                return

    def body_ended(self) -> None:
        pass

    def writable(self) -> None:
        self._downstream.resume_body()
        if self._watch is not None:
            self._watch.writable()

    def gone(self) -> None:
        self._leave()

    # From the call that watches the task.

    def _on_events(self, frames: bytes) -> None:
        if not self._closing:
            self._downstream.write(frames)

    def _on_events_ended(self, _data: bytes) -> None:
        """Says why there are no more."""
        self._watch = None
        failure = self._events.failure
        if self._closing:
            return
        if failure is None:
            self._close(NORMAL, "the task has ended")
        elif failure.reason == DRAINING:
            self._close(GOING_AWAY, "connect again and go on where you were")
        else:
            self._send(failure.json())
            self._close(POLICY if failure.of_client else BROKEN, failure.message)

    @property
    def _closing(self) -> bool:
        return self._over or self._peer.state is not ConnectionState.OPEN

    def _on_event(self, event: Event) -> None:
        if isinstance(event, CloseConnection):
            self._on_close(event)
        elif not self._closing and self._within_rate(event):
            if isinstance(event, Ping):
                self._write(self._peer.send(event.response()))
            elif isinstance(event, TextMessage | BytesMessage):
                self._on_message(event)

    def _on_close(self, event: CloseConnection) -> None:
        if self._peer.state is ConnectionState.OPEN:  # not the client's wish: its frames cannot be read
            self._downstream.write(self._peer.send(event))
        elif self._peer.state is ConnectionState.REMOTE_CLOSING:
            self._downstream.write(self._peer.send(event.response()))
        self._end()

    def _within_rate(self, event: Event) -> bool:
        # A frame that comes in pieces counts once.
        if isinstance(event, Message) and not event.frame_finished:
            return True
        now = self._loop.time()
        earned = (now - self._allowance_at) * self._limits.frames_per_second
        self._allowance = min(self._limits.burst, self._allowance + earned) - 1
        self._allowance_at = now
        if self._allowance < 0:
            self._close(POLICY, f"more than {self._limits.frames_per_second:g} messages a second")
        return self._allowance >= 0

    def _on_message(self, event: TextMessage | BytesMessage) -> None:
        self._message_bytes += len(event.data)
        if isinstance(event, TextMessage):
            self._parts.append(event.data)
        if self._message_bytes > self._limits.max_message_bytes:
            self._close(TOO_LARGE, f"messages have at most {self._limits.max_message_bytes} bytes")
        elif event.message_finished:
            text, self._parts, self._message_bytes = "".join(self._parts), [], 0
            try:
                if isinstance(event, BytesMessage):
                    raise RequestError("the message is binary; send JSON as text")
                self._obey(Order.read(text, self._task_id))
            except RequestError as error:
                self._send(Failure.of_request(error).json())

    def _obey(self, order: Order) -> None:
        if self._waiting >= self._limits.max_waiting:
            self._send(compact_json(order.failed(TOO_MANY)))
            return

        def answered(answer: bytes) -> None:
            self._waiting -= 1
            self._send(answer.decode().rstrip())

        # It goes on when the client has gone: who cancels a task and leaves means it.
        self._waiting += 1
        asked = order.asked(self._head, max_response_bytes=self._limits.max_response_bytes)
        self._calls(asked, Diverted(ended=answered)).body_ended()

    def _frame(self, text: str) -> bytes:
        return self._peer.send(TextMessage(data=text))

    def _send(self, text: str) -> None:
        if not self._closing:
            self._write(self._frame(text))

    def _write(self, data: bytes) -> None:
        self._downstream.write(data)
        if self._downstream.congested:  # who does not read the answers asks no more
            self._downstream.pause_body()

    def _ping(self) -> None:
        if not self._downstream.congested:
            if not self._heard:
                self._end()
                return
            self._heard = False
            self._downstream.write(self._peer.send(Ping()))
        self._timer = self._loop.call_later(self._limits.ping_seconds, self._ping)

    def _close(self, code: int, reason: str) -> None:
        """Says goodbye, and waits a moment for the client to do the same."""
        if self._closing:
            return
        self._downstream.write(self._peer.send(CloseConnection(code, reason)))  # cut where it is too long
        self._stop_watching()
        self._set_timer(self._limits.close_seconds, self._end)

    def _end(self) -> None:
        self._leave()
        self._downstream.end()

    def _leave(self) -> None:
        self._over = True
        self._set_timer(None, self._end)
        self._stop_watching()

    def _stop_watching(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.gone()

    def _set_timer(self, seconds: float | None, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, then)
