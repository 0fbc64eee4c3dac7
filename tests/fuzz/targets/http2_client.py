"""The client's side of HTTP/2, fed by servers of all kinds."""

from collections.abc import Sequence
from random import Random
from typing import Final

from tests.fuzz.target import BrokenPromiseError, Target, cut, equal, hold
from tests.fuzz.targets import http2_frames
from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_client import ClientConnection, ClientLimits, Stream

_LIMITS: Final = ClientLimits(stream_window_bytes=1 << 12, max_frame_bytes=1 << 8)
_MAX_HELD_BYTES: Final = _LIMITS.max_frame_bytes + http2.FRAME_HEADER_BYTES
_TOKENS: Final = (*http2_frames.TOKENS, http2.frame(http2.DATA, 0, 1, bytes(_LIMITS.max_frame_bytes + 1)))
_REQUEST: Final = hpack_blocks.encode([(b":method", b"POST")])
_UPLOAD: Final = b"u" * 64
_GREETING: Final = http2.settings({http2.INITIAL_WINDOW_SIZE: 16, http2.MAX_CONCURRENT_STREAMS: 3})
_STATUS: Final = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_TRAILERS: Final = ((b"grpc-status", b"0"), (b"x-a", b"b"))


class _Listener:
    """Keeps what a stream hears, and that nothing comes behind the end."""

    __slots__ = ("data_bytes", "heard", "over")

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.data_bytes: list[bytes] = []
        self.over = False

    def headers(self, headers: Headers, *, end: bool) -> None:
        self._say((len(b"".join(self.data_bytes)), headers, end), over=end)

    def data(self, data: bytes) -> None:
        hold(not self.over, "data behind the end")
        self.data_bytes.append(data)

    def ended(self) -> None:
        self._say("ended", over=True)

    def reset(self, code: int, message: str) -> None:
        self._say(code, over=True)

    def writable(self) -> None:
        self._say("writable", over=False)

    def _say(self, what: object, *, over: bool) -> None:
        if self.over:  # not `hold`, whose message would be made each time
            raise BrokenPromiseError(f"{what!r} behind the end")
        self.heard.append(what)
        self.over = over

    def outcome(self) -> tuple[object, ...]:
        """Everything, without how the data was cut."""
        return (b"".join(self.data_bytes), *self.heard)


class _Session:
    """A connection with three calls on it: one waits for the server's window, one is sent, one goes on."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.connection = ClientConnection(write=self.written.append, limits=_LIMITS)
        self.connection.start()
        self.connection.receive(_GREETING)
        self.listeners = [_Listener(), _Listener(), _Listener()]
        self.streams = [self.connection.open(_REQUEST, listener) for listener in self.listeners]
        self.streams[0].send(_UPLOAD, end=True)
        self.streams[1].send(b"", end=True)
        self.streams[2].send(b"up", end=False)
        self.own_bytes = sum(map(len, self.written))

    def feed(self, pieces: Sequence[bytes]) -> int | None:
        """The code of the error that ended it."""
        connection = self.connection
        for piece in pieces:
            try:
                connection.receive(piece)
            except Http2Error as error:
                return error.code
            hold(len(connection._buffer) <= _MAX_HELD_BYTES, f"{len(connection._buffer)} bytes are kept")
            if connection._block is not None:
                hold(len(connection._block.data) <= hpack_blocks.MAX_HEADER_LIST_BYTES, "a block that is too long")
        return None

    def finish(self, received_bytes: int) -> None:
        """What holds for every connection in the end."""
        written = sum(map(len, self.written)) - self.own_bytes
        # The longest answer to the shortest frame: a DATA frame of one byte for a WINDOW_UPDATE, a RST_STREAM.
        hold(written <= 4 * received_bytes + 200, f"{written} bytes are written for {received_bytes}")
        self.connection.lost("over")
        hold(all(listener.over for listener in self.listeners), "a call does not end with its connection")
        equal(self.connection.open_streams, 0, "streams")

    def outcome(self) -> tuple[object, ...]:
        """What the calls heard and the server was told, but for windows, which depend on the pieces."""
        connection = self.connection
        told = [part for part in self.written if part[3:4] != b"\x08"]
        flags = (connection.ready, connection.retired, connection.ping_answered, connection.has_room)
        return (*[listener.outcome() for listener in self.listeners], b"".join(told), flags)


def _answers(random: Random) -> list[bytes]:
    return [b"".join(_frames(random)) for _ in range(256)]


def _frames(random: Random) -> list[bytes]:
    frames = []
    for stream_id in random.sample([1, 3, 5], random.randrange(1, 4)):
        status = http2_frames.block(random, *_STATUS)
        if random.random() < 0.2:  # trailers only
            frames.append(http2_frames.headers(random, stream_id, status, end=True))
            continue
        frames.append(http2_frames.headers(random, stream_id, status, end=False))
        frames += [http2_frames.data(random, stream_id, end=False) for _ in range(random.randrange(4))]
        if random.random() < 0.8:
            trailers = http2_frames.block(random, *_TRAILERS)
            frames.append(http2_frames.headers(random, stream_id, trailers, end=True))
        else:
            frames.append(http2_frames.data(random, stream_id, end=True))
    for _ in range(random.randrange(3)):
        frames.insert(random.randrange(len(frames) + 1), http2_frames.control(random))
    return frames


def _check(data: bytes, at: int) -> None:
    whole, pieces = _Session(), _Session()
    error, error_of_pieces = whole.feed([data]), pieces.feed(cut(data, at))
    # A server that overruns its window may be told of more room between two pieces.
    if http2.FLOW_CONTROL_ERROR not in (error, error_of_pieces):
        equal(error_of_pieces is None, error is None, "whether pieces are refused")
        if error is None:
            equal(pieces.outcome(), whole.outcome(), "a connection in pieces")
    whole.finish(len(data))
    pieces.finish(len(data))


def _check_busy(data: bytes, at: int) -> None:
    """Calls that do things between the pieces; what they do is in the bytes."""
    session = _Session()
    size = max(1, at >> 1, len(data) >> 2)
    for start in range(0, len(data), size):
        if session.feed([data[start : start + size]]) is not None:
            break
        _act(session, session.streams[data[start] % 3], data[start] >> 5)
    session.finish(len(data) + 40 * 17)


def _act(session: _Session, stream: Stream, action: int) -> None:
    listener = stream.receiver
    if not isinstance(listener, _Listener) or listener.over:
        return
    if action == 0:
        stream.pause()
    elif action == 1:
        stream.resume()
    elif action == 2:
        stream.reset(http2.CANCEL)
        listener.over = True
    elif action == 3 and not stream.closed_here:
        stream.send(b"more", end=False)
    elif action == 4 and not stream.closed_here:
        stream.send(b"last", end=True)
    elif action == 5:
        session.connection.ping()


TARGETS: Final = (
    Target(
        "http2.client",
        "the same calls however it is cut; nothing behind an end; each call ends; a frame is kept at most; "
        "answers are not longer than four times what came",
        _answers,
        _TOKENS,
        _check,
    ),
    Target(
        "http2.client.busy",
        "the same while calls send, pause, resume and reset",
        _answers,
        _TOKENS,
        _check_busy,
    ),
)
