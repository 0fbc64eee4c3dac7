"""The server's side of HTTP/2, fed by clients of all kinds."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Any, Final

from tests.fuzz.target import BrokenPromiseError, Target, cut, equal, hold
from tests.fuzz.targets import http2_frames
from troupe.gateway.wire import http2
from troupe.gateway.wire.hpack_blocks import HeaderBlockError
from troupe.gateway.wire.http2 import Http2Error

# Untyped, since not every version of the gateway has it.
_server: Final[Any] = (
    import_module("troupe.gateway.wire.http2_server") if find_spec("troupe.gateway.wire.http2_server") else None
)
_blocks: Final[Any] = (
    import_module("troupe.gateway.wire.request_blocks") if find_spec("troupe.gateway.wire.request_blocks") else None
)
_WINDOW_BYTES: Final = 1 << 16
_MAX_HEADER_BYTES: Final = 1 << 10
_MAX_STREAMS: Final = 4
_RESPONSE: Final = ((b"content-type", b"application/grpc"), (b"x-a", b"b"))
_TRAILERS: Final = ((b"grpc-status", b"0"),)
_GREETING: Final = http2.PREFACE + http2.settings({http2.INITIAL_WINDOW_SIZE: 64})


class _Upload:
    """A request, answered by its path: `/now` at once, `/never` not at all, the others when their body has come."""

    def __init__(self, downstream: Any, log: list[object]) -> None:
        self.over = False
        self._downstream = downstream
        self._log = log
        self._body: list[bytes] = []

    def body(self, data: bytes) -> None:
        self._check()
        self._body.append(data)

    def body_ended(self) -> None:
        self._check()
        body = b"".join(self._body)
        self._log.append((self._downstream.id, body))
        self.over = True
        self._downstream.start(200, _RESPONSE)
        self._downstream.write(body[:100])
        self._downstream.end(b"", _TRAILERS)

    def writable(self) -> None:
        self._check()

    def gone(self) -> None:
        self._check()
        self.over = True
        self._log.append((self._downstream.id, "gone"))

    def _check(self) -> None:
        if self.over:
            raise BrokenPromiseError("something is called behind the end")


class _Quiet(_Upload):
    """One that never answers."""

    def body_ended(self) -> None:
        self._check()
        self._log.append((self._downstream.id, "ended", b"".join(self._body)))


def _nothing() -> None:
    pass


class _Session:
    """A connection with an application behind it."""

    def __init__(self, **limits: int) -> None:
        self.written: list[bytes] = []
        self.log: list[object] = []
        self.uploads: list[_Upload] = []
        self.connection = _server.ServerConnection(
            write=self.written.append,
            flush=_nothing,
            accept=self.accept,
            limits=_server.Http2Limits(
                max_concurrent_streams=_MAX_STREAMS,
                max_header_bytes=_MAX_HEADER_BYTES,
                stream_window_bytes=_WINDOW_BYTES,
                **limits,
            ),
            counters=_server.Http2Counters(),
            now=0.0,
        )
        self.connection.start()

    def accept(self, head: Any, downstream: Any) -> _Upload | None:
        self.log.append((downstream.id, head.method, head.target, head.headers))
        _check_request(head)
        if head.target == b"/now":
            downstream.start(404, (), length=2)
            downstream.end(b"no")
            return None
        upload = (_Quiet if head.target == b"/never" else _Upload)(downstream, self.log)
        self.uploads.append(upload)
        return upload

    def feed(self, pieces: Iterable[bytes]) -> int | None:
        """The code of the error that ended it."""
        connection = self.connection
        for piece in pieces:
            try:
                connection.receive(piece)
            except Http2Error as error:
                return error.code
            hold(len(connection._buffer) <= http2.DEFAULT_FRAME_BYTES + 9, f"{len(connection._buffer)} bytes are kept")
            hold(connection.open_streams <= _MAX_STREAMS, "more streams than allowed")
        return None

    def finish(self, received_bytes: int) -> None:
        """What holds for every connection in the end."""
        written = sum(map(len, self.written))
        # The most is said to short requests; 20 bytes ask for about 100.
        hold(written <= 20 * received_bytes + 1000, f"{written} bytes are written for {received_bytes}")
        self.connection.lost()
        hold(all(upload.over for upload in self.uploads), "a request does not end with its connection")
        equal(self.connection.open_streams, 0, "streams")

    def outcome(self) -> tuple[object, ...]:
        """What the application heard and the client was told, but for windows, which depend on the pieces."""
        told = [part for part in self.written if part[3:4] != b"\x08"]
        return self.log, b"".join(told)


def _check_request(head: Any) -> None:
    for name, value in head.headers:
        hold(name and name == name.lower() and not name.startswith(b":"), f"the name {name!r}")
        hold(not set(value) & {0, 10, 13}, "a control character in a value")
    hold([name for name, _ in head.headers].count(b"host") == 1, "not one host")


def _clients(random: Random) -> list[bytes]:
    return [_GREETING + b"".join(_frames(random)) for _ in range(256)]


def _frames(random: Random) -> list[bytes]:
    frames: list[bytes] = []
    for stream_id in range(1, random.randrange(3, 14), 2):
        path = random.choice([b"/a", b"/a", b"/now", b"/never"])
        pairs = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"h")]
        if random.random() < 0.3:
            pairs.append(random.choice([(b"te", b"trailers"), (b"x-a", b"b"), (b"content-length", b"5")]))
        count = random.randrange(3)
        frames.append(http2_frames.headers(random, stream_id, http2_frames.block(random, *pairs), end=not count))
        frames += [http2_frames.data(random, stream_id, end=i == count - 1) for i in range(count)]
        if random.random() < 0.1:
            frames.append(http2.rst_stream(stream_id, http2.CANCEL))
    for _ in range(random.randrange(3)):
        frames.insert(random.randrange(len(frames) + 1), http2_frames.control(random))
    return frames


def _check(data: bytes, at: int) -> None:
    whole, pieces = _Session(max_idle_frames=1 << 30), _Session(max_idle_frames=1 << 30)
    error, error_of_pieces = whole.feed([data]), pieces.feed(cut(data, at))
    # A client that overruns its window may be told of more room between two pieces.
    if http2.FLOW_CONTROL_ERROR not in (error, error_of_pieces):
        equal(error_of_pieces is None, error is None, "whether pieces are refused")
        if error is None:
            equal(pieces.outcome(), whole.outcome(), "a connection in pieces")
    whole.finish(len(data))
    pieces.finish(len(data))


def _check_busy(data: bytes, at: int) -> None:
    """Time passes and the socket fills up between the pieces, as the bytes have it; the limits are low."""
    session = _Session(max_idle_frames=20, max_resets=3)
    connection, now = session.connection, 0.0
    size = max(1, at >> 1, len(data) >> 2)
    for start in range(0, len(data), size):
        if session.feed([data[start : start + size]]) is not None:
            break
        action = data[start] >> 5
        if action == 0:
            connection.hold()
        elif action == 1:
            connection.release()
        elif action == 2:
            connection.retire()
        elif action < 5:
            now += data[start] % 32
            try:
                connection.sweep(now)
            except Http2Error:
                break
    session.finish(len(data))


def _header_blocks(random: Random) -> Sequence[bytes]:
    pairs = [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"h"), (b"host", b"h"),
        (b"cookie", b"a=b"), (b"te", b"trailers"), (b"content-length", b"5"), (b"connection", b"x"), (b"x-a", b""),
    ]  # fmt: skip
    return [http2_frames.block(random, *pairs[:4], *random.sample(pairs, random.randrange(4))) for _ in range(128)]


def _check_block(data: bytes, at: int) -> None:
    reader = _blocks.RequestBlockReader()
    for _ in range(2):  # the second may lean on the table of the first
        try:
            headers = reader.read(data)
        except HeaderBlockError:
            return
        if headers is not None and headers.request is not None:
            _check_request(headers.request)
        if at % 2:
            reader.settle()


TARGETS: Final[Sequence[Target]] = (
    *(
        [
            Target(
                "http2.server",
                "the same requests and answers however it is cut; nothing behind an end; each request ends; "
                "a frame is kept at most; streams are counted",
                _clients,
                (http2.PREFACE, _GREETING, *http2_frames.TOKENS),
                _check,
            ),
            Target(
                "http2.server.busy",
                "the same while time passes, the socket is full, and the connection retires",
                _clients,
                (http2.PREFACE, _GREETING, *http2_frames.TOKENS),
                _check_busy,
            ),
        ]
        if _server
        else []
    ),
    *(
        [
            Target(
                "http2.request_block",
                "refused, or a request with one host and no pseudo-headers",
                _header_blocks,
                (b"\x82", b"\x83", b"\xbe", b"\x20", b"\x3f\xe1\x1f", b"\x40\x01a\x01b", b"\x41\x01h", b"\x04\x02/a"),
                _check_block,
            )
        ]
        if _blocks
        else []
    ),
)
