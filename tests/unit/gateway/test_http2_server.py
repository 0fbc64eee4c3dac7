"""The server's side of HTTP/2 against h2, an implementation of its own, and against our own client's side."""

from collections.abc import Callable, Iterable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.gateway.test_framing import cuts, pieces
from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_client import ClientConnection, ClientLimits
from troupe.gateway.wire.http2_server import Http2Counters, Http2Limits, ServerConnection, ServerStream
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.request_blocks import RequestBlockReader

REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/s/m"), (":authority", "host.example")]
RAW_REQUEST = [(name.encode(), value.encode()) for name, value in REQUEST]
BLOCK = hpack_blocks.encode(RAW_REQUEST)
OK = ((b"content-type", b"text/plain"), (b"connection", b"close"))


class Exchange:
    """An upload that keeps what it hears."""

    def __init__(self, head: RequestHead, stream: ServerStream) -> None:
        self.head = head
        self.stream = stream
        self.received = b""
        self.heard: list[str] = []

    def body(self, data: bytes) -> None:
        self.received += data

    def body_ended(self) -> None:
        self.heard.append("ended")

    def writable(self) -> None:
        self.heard.append("writable")

    def gone(self) -> None:
        self.heard.append("gone")


class Server:
    """A connection whose requests are kept, or answered by `answer`."""

    def __init__(self, answer: Callable[[ServerStream], None] | None = None, limits: Http2Limits | None = None) -> None:
        self.out: list[bytes] = []
        self.room: int | None = None
        """What the socket takes at once."""
        self.exchanges: list[Exchange] = []
        self.counters = Http2Counters()
        self.answer = answer
        self.core = ServerConnection(
            write=self.out.append,
            flush=self.flush,
            accept=self.accept,
            limits=limits or Http2Limits(),
            counters=self.counters,
            now=0,
        )
        self.core.start()

    def flush(self) -> None:
        if self.room is not None and sum(map(len, self.out)) > self.room:
            self.core.hold()

    def accept(self, head: RequestHead, stream: ServerStream) -> Exchange:
        self.exchanges.append(Exchange(head, stream))
        if self.answer is not None:
            self.answer(stream)
        return self.exchanges[-1]

    def said(self) -> bytes:
        data = b"".join(self.out)
        self.out.clear()
        return data


class Pair(Server):
    """A connection with h2 on its other end."""

    def __init__(self, answer: Callable[[ServerStream], None] | None = None, limits: Http2Limits | None = None) -> None:
        super().__init__(answer, limits)
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.client.initiate_connection()
        self.events: list[Event] = []

    def turn(self) -> list[Event]:
        """Carries bytes to and fro until both are silent; gives what the client heard."""
        events: list[Event] = []
        while True:
            if data := self.client.data_to_send():
                self.core.receive(data)
            elif said := self.said():
                events += self.client.receive_data(said)
            else:
                return events

    def request(self, headers: Iterable[tuple[str, str]] = REQUEST, *, end: bool = True) -> int:
        stream_id: int = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, headers, end_stream=end)
        return stream_id


def raw(limits: Http2Limits | None = None) -> Server:
    """A server whose client has greeted it and knows its settings."""
    server = Server(limits=limits)
    server.core.receive(http2.PREFACE + http2.settings({}) + http2.frame(http2.SETTINGS, http2.ACK, 0))
    return server


def request(stream_id: int, block: bytes = BLOCK, *, end: bool = True) -> bytes:
    return http2.headers_frames(stream_id, block, end=end, max_frame_bytes=16_384)


def codes(events: list[Event]) -> list[tuple[int | None, int]]:
    return [(event.stream_id, int(event.error_code or 0)) for event in events if isinstance(event, StreamReset)]


def body_of(events: list[Event], stream_id: int) -> bytes:
    return b"".join(e.data or b"" for e in events if isinstance(e, DataReceived) and e.stream_id == stream_id)


def test_a_request_and_its_answer() -> None:
    pair = Pair()
    pair.request([*REQUEST, ("cookie", "a=1"), ("x", "1"), ("cookie", "b=2"), ("x", "2")], end=False)
    pair.client.send_data(1, b"ques")
    pair.client.send_data(1, b"tion", end_stream=True, pad_length=9)
    pair.turn()
    exchange = pair.exchanges[0]
    assert (exchange.received, exchange.heard) == (b"question", ["ended"])
    head = exchange.head
    assert (head.method, head.target, head.http2) == (b"POST", b"/s/m", True)
    assert head.get(b"host") == b"host.example"
    assert (head.get(b"cookie"), head.get(b"x")) == (b"a=1; b=2", b"1, 2")
    exchange.stream.start(200, OK)
    exchange.stream.write(b"an")
    exchange.stream.end(b"swer", [(b"grpc-status", b"0")])
    events = pair.turn()
    assert [e.headers for e in events if isinstance(e, ResponseReceived)] == [
        [(b":status", b"200"), (b"content-type", b"text/plain")]
    ]
    assert body_of(events, 1) == b"answer"
    assert [e.headers for e in events if isinstance(e, TrailersReceived)] == [[(b"grpc-status", b"0")]]
    assert any(isinstance(e, StreamEnded) for e in events)
    assert pair.core.open_streams == 0
    exchange.stream.write(b"more")
    exchange.stream.end()
    assert not pair.out


def test_a_head_without_a_body_ends_the_stream_itself() -> None:
    def answer(stream: ServerStream) -> None:
        stream.start(204, OK, length=0)
        stream.end()

    pair = Pair(answer)
    pair.request()
    frames = pair.turn()
    assert isinstance(next(e for e in frames if isinstance(e, ResponseReceived)).stream_ended, StreamEnded)
    assert not any(isinstance(e, DataReceived) for e in frames)
    assert pair.exchanges[0].heard == []


def test_head_requests_get_no_body() -> None:
    def answer(stream: ServerStream) -> None:
        stream.start(200, OK, length=5)
        stream.end(b"12345")

    pair = Pair(answer)
    pair.request([(":method", "HEAD"), *REQUEST[1:]])
    events = pair.turn()
    assert (b"content-length", b"5") in (next(e for e in events if isinstance(e, ResponseReceived)).headers or [])
    assert body_of(events, 1) == b""


def test_an_answer_before_the_end_of_the_request_stops_the_request() -> None:
    def answer(stream: ServerStream) -> None:
        stream.start(404, OK, length=3)
        stream.end(b"no\n")

    pair = Pair(answer)
    pair.request(end=False)
    events = pair.turn()
    assert body_of(events, 1) == b"no\n"
    assert codes(events) == [(1, http2.NO_ERROR)]


def test_expect_continue() -> None:
    pair = Pair()
    pair.request([*REQUEST, ("expect", "100-continue")], end=False)
    assert any(isinstance(e, InformationalResponseReceived) for e in pair.turn())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=40)), max_size=12), cuts)
def test_requests_however_they_are_cut(parts: list[tuple[int, bytes]], sizes: list[int]) -> None:
    client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    for stream_id in (1, 3, 5):
        client.send_headers(stream_id, [*REQUEST, ("x-long", "v" * 50)])
    for index, data in parts:
        client.send_data(2 * index + 1, data)
    for stream_id in (1, 3, 5):
        client.end_stream(stream_id)
    server = Server()
    for piece in pieces(client.data_to_send(), sizes):
        server.core.receive(piece)
    for index, exchange in enumerate(server.exchanges):
        assert exchange.received == b"".join(data for i, data in parts if i == index)
        assert exchange.heard == ["ended"]
        assert exchange.head is server.exchanges[0].head


def test_our_client_and_our_server() -> None:
    server = Server()
    out: list[bytes] = []
    client = ClientConnection(write=out.append, limits=ClientLimits())
    client.start()
    log = ClientLog()
    client.receive(server.said())
    stream = client.open(BLOCK, log)
    stream.send(b"x" * 100_000, end=True)
    for _ in range(4):
        server.core.receive(b"".join(out))
        out.clear()
        client.receive(server.said())
    exchange = server.exchanges[0]
    assert (len(exchange.received), exchange.heard) == (100_000, ["ended"])
    exchange.stream.start(200, OK)
    exchange.stream.end(b"y" * 50_000, [(b"a", b"b")])
    client.receive(server.said())
    assert log.heard == ["writable", {b":status": b"200", b"content-type": b"text/plain"}, 50_000, {b"a": b"b"}]


class ClientLog:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def headers(self, headers: Headers, *, end: bool) -> None:
        self.heard.append(dict(headers))

    def data(self, data: bytes) -> None:
        self.heard.append(len(data))

    def ended(self) -> None:
        self.heard.append("ended")

    def reset(self, code: int, message: str) -> None:
        self.heard.append(code)

    def writable(self) -> None:
        self.heard.append("writable")


# Flow control.


def test_the_window_is_given_back_as_the_body_is_taken() -> None:
    pair = Pair()
    pair.request(end=False)
    pair.client.send_data(1, b"x" * 16_000)
    assert not [e for e in pair.turn() if isinstance(e, WindowUpdated) and e.stream_id]
    stream = pair.exchanges[0].stream
    stream.pause_body()
    for _ in range(3):
        pair.client.send_data(1, b"x" * 16_000)
    assert not [e for e in pair.turn() if isinstance(e, WindowUpdated) and e.stream_id]
    stream.resume_body()
    assert [e.delta for e in pair.turn() if isinstance(e, WindowUpdated) and e.stream_id] == [64_000]


def test_a_client_that_overruns_the_window_of_a_stream_ends_that_stream() -> None:
    server = raw()
    server.core.receive(request(1, end=False) + request(3))
    server.exchanges[0].stream.pause_body()
    server.core.receive(http2.data_frames(1, b"x" * 65_536, end=False, max_frame_bytes=16_384))
    server.said()
    server.core.receive(http2.frame(http2.DATA, 0, 1, b"x"))
    assert server.said() == http2.rst_stream(1, http2.FLOW_CONTROL_ERROR)
    assert [exchange.heard for exchange in server.exchanges] == [["gone"], ["ended"]]


def test_a_slow_stream_is_congested_and_holds_up_no_other() -> None:
    pair = Pair()
    pair.request()
    pair.request()
    pair.client.increment_flow_control_window(1 << 20)
    pair.turn()
    slow, quick = pair.exchanges
    for exchange in (slow, quick):
        exchange.stream.start(200, OK)
    slow.stream.write(b"s" * 65_535)
    slow.stream.write(b"s" * 32_768)
    assert not slow.stream.congested
    slow.stream.write(b"s")
    assert slow.stream.congested
    quick.stream.end(b"q" * 1000)
    events = pair.turn()
    assert (len(body_of(events, 1)), len(body_of(events, 3))) == (65_535, 1000)
    slow.stream.end(b"", [(b"t", b"1")])
    assert not [e for e in pair.turn() if isinstance(e, StreamEnded)]
    pair.client.increment_flow_control_window(1 << 20, 1)
    events = pair.turn()
    assert len(body_of(events, 1)) == 32_769
    assert any(isinstance(e, TrailersReceived) for e in events)
    assert pair.core.open_streams == 0


def test_upload_hears_when_the_client_has_caught_up() -> None:
    pair = Pair()
    pair.request()
    pair.turn()
    exchange = pair.exchanges[0]
    exchange.stream.start(200, OK)
    exchange.stream.write(b"s" * 200_000)
    while exchange.stream.congested:
        for event in pair.turn():
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                pair.client.acknowledge_received_data(event.flow_controlled_length, 1)
        assert exchange.heard == ["ended"]
    while exchange.heard == ["ended"]:
        for event in pair.turn():
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                pair.client.acknowledge_received_data(event.flow_controlled_length, 1)
    assert exchange.heard == ["ended", "writable"]


def test_streams_take_turns_when_the_window_of_the_connection_opens() -> None:
    server = raw()
    server.core.receive(b"".join([request(stream_id) for stream_id in (1, 3, 5)]))
    server.core.receive(b"".join([http2.window_update(stream_id, 1 << 20) for stream_id in (1, 3, 5)]))
    for exchange in server.exchanges:
        exchange.stream.start(200, OK)
        exchange.stream.end(b"x" * 100_000)
    server.said()
    server.core.receive(http2.window_update(0, 16_384 * 3))
    assert sorted(data_frames(server.said())) == [1, 3, 5]


def data_frames(data: bytes) -> list[int]:
    """The streams of the DATA frames, in order."""
    streams, position = [], 0
    while position < len(data):
        length, _, stream_id = http2.FRAME_HEADER.unpack_from(data, position)
        if length & 0xFF == http2.DATA:
            streams.append(stream_id)
        position += 9 + (length >> 8)
    return streams


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "grant", "widen", "first", "hold", "release"]), st.integers(0, 2),
                  st.integers(1, 40_000)),
        max_size=30,
    )
)  # fmt: skip
def test_what_is_written_arrives_in_order_whatever_the_windows(steps: list[tuple[str, int, int]]) -> None:
    pair = Pair()
    pair.client.update_settings({4: 1000})
    for _ in range(3):
        pair.request()
    pair.turn()
    written = [b"", b"", b""]
    events: list[Event] = []
    for exchange in pair.exchanges:
        exchange.stream.start(200, OK)
    for step, index, size in steps:
        if step == "write":
            data = bytes((len(written[index]) + n) % 251 for n in range(size))
            pair.exchanges[index].stream.write(data)
            written[index] += data
        else:
            move(pair, step, index, size)
        events += pair.turn()
    for index, exchange in enumerate(pair.exchanges):
        exchange.stream.end(b"last", [(b"t", b"%d" % index)])
    pair.core.release()
    pair.client.increment_flow_control_window(1 << 24)
    for index, exchange in enumerate(pair.exchanges):
        if exchange.stream.pending:
            pair.client.increment_flow_control_window(1 << 24, 2 * index + 1)
    events += pair.turn()
    for index in range(3):
        own = [e for e in events if getattr(e, "stream_id", None) == 2 * index + 1]
        assert body_of(own, 2 * index + 1) == written[index] + b"last"
        assert isinstance(own[-2], TrailersReceived)
        assert isinstance(own[-1], StreamEnded)
    assert pair.core.open_streams == 0


def move(pair: Pair, step: str, index: int, size: int) -> None:
    match step:
        case "grant":
            pair.client.increment_flow_control_window(size)
        case "widen":
            pair.client.increment_flow_control_window(size, 2 * index + 1)
        case "first":
            pair.client.update_settings({4: size})
        case "hold":
            pair.core.hold()
        case _:
            pair.core.release()


def test_a_full_socket_lets_data_wait() -> None:
    pair = Pair()
    pair.request()
    pair.turn()
    exchange = pair.exchanges[0]
    exchange.stream.start(200, OK)
    pair.core.hold()
    assert exchange.stream.congested
    exchange.stream.write(b"abc")
    assert body_of(pair.turn(), 1) == b""
    pair.core.release()
    assert body_of(pair.turn(), 1) == b"abc"
    assert exchange.heard[1:] in (["writable"], ["writable", "writable"])


def test_a_socket_that_takes_data_again_is_not_given_all_of_it() -> None:
    server = raw()
    server.core.receive(http2.window_update(0, 1 << 24) + http2.settings({http2.INITIAL_WINDOW_SIZE: 1 << 24}))
    server.core.receive(b"".join([request(stream_id) for stream_id in range(1, 41, 2)]))
    server.core.hold()
    for exchange in server.exchanges:
        exchange.stream.start(200, OK)
        exchange.stream.write(b"x" * 100_000)
    server.said()
    server.room = 100_000
    server.core.release()
    assert 100_000 < len(server.said()) < 250_000
    assert server.core.full


def test_a_change_of_the_first_window_moves_every_stream() -> None:
    pair = Pair()
    pair.client.update_settings({4: 10})
    pair.request()
    pair.turn()
    stream = pair.exchanges[0].stream
    stream.start(200, OK)
    stream.end(b"x" * 30)
    assert len(body_of(pair.turn(), 1)) == 10
    pair.client.update_settings({4: 25})
    assert len(body_of(pair.turn(), 1)) == 15
    pair.client.update_settings({4: 0})
    pair.turn()
    pair.client.update_settings({4: 40})
    assert len(body_of(pair.turn(), 1)) == 5


# Headers.


def test_the_table_that_a_client_uses_before_it_knows_better() -> None:
    encoder = Encoder()
    reader = RequestBlockReader()
    headers = [*RAW_REQUEST, (b"x-own", b"value")]
    first, second = encoder.encode(headers), encoder.encode(headers)
    assert len(second) < len(first)
    lists = [reader.read(first), reader.read(second)]
    reader.settle()
    encoder.header_table_size = 0
    lists += [reader.read(encoder.encode(headers)), RequestBlockReader().read(first)]
    heads = [read.request for read in lists if read is not None]
    assert len(heads) == 4
    assert heads[0] is not None
    assert all(head is heads[0] for head in heads)


@pytest.mark.parametrize(
    "headers",
    [
        RAW_REQUEST[1:],
        [*RAW_REQUEST[:2], *RAW_REQUEST[3:]],
        RAW_REQUEST[:3],
        [*RAW_REQUEST, (b":method", b"POST")],
        [*RAW_REQUEST, (b":path", b"/other")],
        [*RAW_REQUEST, (b":protocol", b"websocket")],
        [*RAW_REQUEST, (b":status", b"200")],
        [RAW_REQUEST[0], (b"x", b"y"), *RAW_REQUEST[1:]],
        [*RAW_REQUEST[:2], (b":path", b""), RAW_REQUEST[3]],
        [*RAW_REQUEST[:2], (b":path", b"/a b"), RAW_REQUEST[3]],
        [*RAW_REQUEST, (b"X-Upper", b"y")],
        [*RAW_REQUEST, (b"", b"y")],
        [*RAW_REQUEST, (b"x y", b"y")],
        [*RAW_REQUEST, (b"x", b"a\r\nb: c")],
        [*RAW_REQUEST, (b"x", b"a\x00")],
        [*RAW_REQUEST, (b"x", b" a")],
        [*RAW_REQUEST, (b"connection", b"close")],
        [*RAW_REQUEST, (b"transfer-encoding", b"chunked")],
        [*RAW_REQUEST, (b"upgrade", b"h2c")],
        [*RAW_REQUEST, (b"te", b"gzip")],
        [*RAW_REQUEST, (b"host", b"other.example")],
        [*RAW_REQUEST, (b"content-length", b"-1")],
        [*RAW_REQUEST, (b"content-length", b"3"), (b"content-length", b"4")],
        [*RAW_REQUEST, (b"content-length", b"3")],
    ],
)
def test_malformed_requests_break_their_stream_only(headers: list[tuple[bytes, bytes]]) -> None:
    server = raw()
    server.said()
    server.core.receive(request(1, hpack_blocks.encode(headers)))
    assert server.said() == http2.rst_stream(1, http2.PROTOCOL_ERROR)
    assert server.exchanges == []
    assert server.counters.malformed_requests == 1
    server.core.receive(request(3))
    assert len(server.exchanges) == 1


@pytest.mark.parametrize("sent", [b"12", b"1234"])
def test_a_body_that_is_not_as_long_as_it_says(sent: bytes) -> None:
    server = raw()
    server.core.receive(request(1, BLOCK + hpack_blocks.encode([(b"content-length", b"3")]), end=False))
    server.said()
    server.core.receive(http2.data_frames(1, sent, end=True, max_frame_bytes=16_384))
    assert server.said() == http2.rst_stream(1, http2.PROTOCOL_ERROR)
    assert server.exchanges[0].heard == ["gone"]


def test_trailers_of_a_request_end_it() -> None:
    server = raw()
    server.core.receive(request(1, end=False) + request(1, hpack_blocks.encode([(b"x", b"y")])))
    assert server.exchanges[0].heard == ["ended"]


@pytest.mark.parametrize(
    ("block", "end"), [(BLOCK, True), (hpack_blocks.encode([(b"x", b"y")]), False), (b"\x40\x01X\x01y", True)]
)
def test_trailers_that_cannot_be_trailers(block: bytes, end: bool) -> None:
    server = raw()
    server.core.receive(request(1, end=False))
    server.said()
    server.core.receive(request(1, block, end=end))
    assert server.said() == http2.rst_stream(1, http2.PROTOCOL_ERROR)


def test_frames_after_the_end_of_a_request_break_the_stream() -> None:
    server = raw()
    server.core.receive(request(1))
    server.said()
    server.core.receive(http2.frame(http2.DATA, 0, 1, b"late"))
    assert server.said() == http2.rst_stream(1, http2.STREAM_CLOSED)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("size", [20_000, 40_000])
def test_headers_that_are_too_long_are_answered(settled: bool, size: int) -> None:
    server = Server()
    server.core.receive(http2.PREFACE + http2.settings({}))
    if settled:
        server.core.receive(http2.frame(http2.SETTINGS, http2.ACK, 0))
    server.core.receive(request(1, BLOCK + hpack_blocks.encode([(b"x", b"y" * size)]), end=False))
    assert b"431" in server.said()
    assert (server.exchanges, server.counters.header_lists_too_large) == ([], 1)


def test_the_table_is_gone_when_the_client_knows_our_settings() -> None:
    server = Server()
    server.core.receive(http2.PREFACE + http2.settings({}))
    server.core.receive(request(1, BLOCK + b"\x40\x01x\x01y") + request(3, BLOCK + b"\xbe"))
    assert server.exchanges[1].head.get(b"x") == b"y"
    server.core.receive(http2.frame(http2.SETTINGS, http2.ACK, 0))
    with pytest.raises(Http2Error) as caught:
        server.core.receive(request(5, BLOCK + b"\xbe"))
    assert caught.value.code == http2.COMPRESSION_ERROR


def test_a_bomb_of_headers_is_refused_and_its_table_stays_in_step() -> None:
    server = Server()
    server.core.receive(http2.PREFACE + http2.settings({}))
    value = b"\x7f\xa1\x1e" + b"y" * 4000
    bomb = b"\x40\x01x" + value + b"\xbe" * 10_000 + b"\x40\x01z\x03end"  # an entry of the table, named many times
    server.core.receive(request(1, bomb))
    assert b"431" in server.said()
    server.core.receive(request(3, BLOCK + b"\xbe"))
    assert server.exchanges[0].head.get(b"z") == b"end"


def test_a_block_that_is_too_long_to_be_read_for_its_table_ends_the_connection() -> None:
    server = Server()
    server.core.receive(http2.PREFACE + http2.settings({}))
    with pytest.raises(Http2Error) as caught:
        server.core.receive(request(1, hpack_blocks.encode([(b"x", b"y" * 300_000)])))
    assert caught.value.code == http2.COMPRESSION_ERROR


# What is wrong with one stream ends that stream.

LITERAL = hpack_blocks.encode([(b"x", b"y" * 1000)])
HARM: dict[str, bytes] = {
    "headers of 66 KiB": request(99, LITERAL * 66),
    "headers of 2 MiB": request(99, LITERAL * 2000, end=False),
    "short headers that are many": request(99, b"\x82" * 9000),
    "a name in upper case": request(99, BLOCK + b"\x00\x01X\x01y"),
    "a control character": request(99, BLOCK + b"\x00\x01x\x01\x00"),
    "a header of connections": request(99, BLOCK + hpack_blocks.encode([(b"connection", b"close")])),
    "no path": request(99, hpack_blocks.encode(RAW_REQUEST[:2])),
    "trailers of 66 KiB": request(1, LITERAL * 66),
    "trailers that do not end": request(1, b"", end=False),
    "pseudo-headers as trailers": request(1),
    "an overrun window": http2.data_frames(1, b"x" * 70_000, end=False, max_frame_bytes=16_384),
    "data in too long a frame": http2.frame(http2.DATA, 0, 1, b"x" * 100_000),
    "an unknown frame that is too long": http2.frame(0x55, 0, 1, b"x" * 100_000),
    "a priority that is too long": http2.frame(http2.PRIORITY, 0, 1, b"x" * 100_000),
    "a window of 2^31": http2.window_update(1, http2.MAX_WINDOW_BYTES),
    "a window update of 0": http2.window_update(1, 0),
    "data behind the end": http2.frame(http2.DATA, http2.END_STREAM, 1) + http2.frame(http2.DATA, 0, 1, b"late"),
    "headers behind the end": http2.frame(http2.DATA, http2.END_STREAM, 1) + request(1),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("piece_bytes", [1 << 30, 997])
def test_a_fault_of_one_stream_ends_no_other(harm: str, piece_bytes: int) -> None:
    server = raw(Http2Limits(stream_window_bytes=65_536))
    server.core.receive(request(1, end=False) + b"".join([request(n) for n in range(3, 43, 2)]))
    server.exchanges[0].stream.pause_body()
    innocents = server.exchanges[1:]
    for exchange in innocents:
        exchange.stream.start(200, OK)
    server.said()
    data = HARM[harm]
    for start in range(0, len(data), piece_bytes):
        server.core.receive(data[start : start + piece_bytes])
    said = server.said()
    assert b"431" in said or said.startswith((http2.rst_stream(1, 0)[:9], http2.rst_stream(99, 0)[:9]))
    for exchange in innocents:
        exchange.stream.end(b"event", trailers=[(b"grpc-status", b"0")])
        assert exchange.heard == ["ended"]
        assert http2.frame(http2.DATA, 0, exchange.stream.id, b"event") in server.said()
    server.core.receive(request(101))
    assert server.exchanges[-1].stream.id == 101


# The life of a connection.


def test_streams_over_the_limit_are_refused() -> None:
    server = raw(Http2Limits(max_concurrent_streams=2))
    server.core.receive(b"".join([request(stream_id) for stream_id in (1, 3)]))
    server.said()
    server.core.receive(request(5))
    assert server.said() == http2.rst_stream(5, http2.REFUSED_STREAM)
    server.core.receive(http2.rst_stream(1, http2.CANCEL) + request(7))
    assert len(server.exchanges) == 3
    assert server.exchanges[0].heard == ["ended", "gone"]


def test_goaway_lets_old_streams_go_on_and_takes_no_new_ones() -> None:
    pair = Pair()
    pair.request(end=False)
    pair.turn()
    pair.request()
    late = pair.client.data_to_send()
    pair.core.retire()
    events = pair.client.receive_data(pair.said())
    assert [e.last_stream_id for e in events if isinstance(e, ConnectionTerminated)] == [1]
    pair.core.receive(late)
    pair.core.receive(http2.data_frames(1, b"rest", end=True, max_frame_bytes=16_384))
    assert len(pair.exchanges) == 1
    assert (pair.exchanges[0].received, pair.exchanges[0].heard) == (b"rest", ["ended"])
    pair.exchanges[0].stream.start(200, OK, length=0)
    pair.exchanges[0].stream.end()
    assert pair.core.open_streams == 0


def test_lost_connection_ends_every_stream() -> None:
    server = raw()
    server.core.receive(request(1) + request(3))
    server.core.lost()
    assert [exchange.heard for exchange in server.exchanges] == [["ended", "gone"]] * 2
    server.said()
    server.exchanges[0].stream.start(200, OK)
    server.exchanges[0].stream.end(b"late")
    assert server.said() == b""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (http2.frame(http2.PING, 0, 0, b"short"), http2.FRAME_SIZE_ERROR),
        (http2.frame(http2.PING, 0, 1, b"x" * 8), http2.PROTOCOL_ERROR),
        (http2.frame(http2.SETTINGS, 0, 1), http2.PROTOCOL_ERROR),
        (http2.frame(http2.SETTINGS, http2.ACK, 0, b"x" * 6), http2.FRAME_SIZE_ERROR),
        (http2.settings({http2.INITIAL_WINDOW_SIZE: 2**31}), http2.FLOW_CONTROL_ERROR),
        (http2.frame(http2.PUSH_PROMISE, 4, 1, b"\x00\x00\x00\x02"), http2.PROTOCOL_ERROR),
        (http2.frame(http2.CONTINUATION, 4, 1, b""), http2.PROTOCOL_ERROR),
        (http2.frame(http2.HEADERS, 0, 1, b"") + http2.frame(http2.PING, 0, 0, b"x" * 8), http2.PROTOCOL_ERROR),
        (http2.frame(http2.HEADERS, 5, 1, b"\xff\xff\xff\xff"), http2.COMPRESSION_ERROR),
        (http2.frame(http2.HEADERS, 5, 1, b"\xbe"), http2.COMPRESSION_ERROR),
        (request(2), http2.PROTOCOL_ERROR),
        (request(0), http2.PROTOCOL_ERROR),
        (http2.frame(http2.DATA, 0, 0, b"x"), http2.PROTOCOL_ERROR),
        (http2.frame(http2.DATA, 0, 1, b"x"), http2.PROTOCOL_ERROR),
        (http2.rst_stream(1, 0), http2.PROTOCOL_ERROR),
        (http2.frame(http2.RST_STREAM, 0, 1, b"abc"), http2.FRAME_SIZE_ERROR),
        (http2.window_update(1, 5), http2.PROTOCOL_ERROR),
        (http2.window_update(0, 0), http2.FLOW_CONTROL_ERROR),
        (http2.window_update(0, 2**31 - 1), http2.FLOW_CONTROL_ERROR),
        (http2.frame(http2.HEADERS, 0, 1, b"x" * 16_385), http2.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\x00\x00\x00\x00\x00\x00", http2.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", http2.PROTOCOL_ERROR),
        (b"\xff\xff\xff\x08\x00\x00\x00\x00\x01", http2.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\x04\x00\x00\x00\x00\x00", http2.FRAME_SIZE_ERROR),
    ],
)
def test_client_that_breaks_the_protocol(data: bytes, code: int) -> None:
    server = raw()
    with pytest.raises(Http2Error) as caught:
        server.core.receive(data)
    assert caught.value.code == code


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", http2.PREFACE + http2.frame(http2.PING, 0, 0, b"x" * 8)])
def test_client_that_does_not_greet(data: bytes) -> None:
    with pytest.raises(Http2Error):
        Server().core.receive(data)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 255), st.integers(0, 4), st.binary(max_size=40))))
def test_any_frames_are_taken_or_refused(frames: list[tuple[int, int, int, bytes]]) -> None:
    server = raw()
    server.core.receive(request(1, end=False) + request(3))
    for exchange in server.exchanges:
        exchange.stream.start(200, OK)
        exchange.stream.write(b"x" * 70_000)
    try:
        server.core.receive(b"".join([http2.frame(*frame) for frame in frames]))
    except Http2Error:
        return


# What attackers do.


def attack(server: Server, data: Iterable[bytes]) -> Http2Error:
    for piece in data:
        try:
            server.core.receive(piece)
        except Http2Error as error:
            return error
    pytest.fail("the attack went on")


def test_rapid_reset_ends_the_connection() -> None:
    server = raw()
    pairs = (request(n) + http2.rst_stream(n, http2.CANCEL) for n in range(1, 4001, 2))
    assert attack(server, pairs).code == http2.ENHANCE_YOUR_CALM
    assert len(server.exchanges) == 201
    assert server.core.open_streams == 0
    assert server.counters.rapid_resets == 1


def test_resets_that_the_server_is_led_to_send_count_too() -> None:
    server = raw()
    pairs = (request(n) + http2.window_update(n, 0) for n in range(1, 4001, 2))
    assert attack(server, pairs).code == http2.ENHANCE_YOUR_CALM
    assert len(server.exchanges) == 201


def test_a_client_that_lets_streams_end_may_break_as_many_off() -> None:
    def answer(stream: ServerStream) -> None:
        if stream.id % 4 == 1:
            stream.start(200, OK, length=0)
            stream.end()

    server = Server(answer)
    server.core.receive(http2.PREFACE + http2.settings({}))
    for n in range(1, 4001, 2):
        server.core.receive(request(n))
        if n % 4 == 3:
            server.core.receive(http2.rst_stream(n, http2.CANCEL))
    assert len(server.exchanges) == 2000


def test_resets_over_a_long_time_are_no_attack() -> None:
    server = raw()
    for n in range(1, 2001, 2):
        if n % 200 == 1:
            server.core.sweep(n / 10)
        server.core.receive(request(n) + http2.rst_stream(n, http2.CANCEL))
    assert len(server.exchanges) == 1000


@pytest.mark.parametrize(
    "frame",
    [
        http2.frame(http2.PING, 0, 0, b"x" * 8),
        http2.settings({http2.INITIAL_WINDOW_SIZE: 1}),
        http2.frame(http2.SETTINGS, http2.ACK, 0),
        http2.frame(http2.PRIORITY, 0, 1, b"x" * 5),
        http2.frame(http2.DATA, 0, 1),
        http2.frame(http2.DATA, http2.PADDED, 1, b"\x00"),
        http2.frame(http2.DATA, 0, 3, b"x"),
        http2.window_update(1, 1),
        http2.window_update(0, 1),
        http2.window_update(3, 5000),
        http2.rst_stream(3, 0),
        http2.frame(99, 0, 0),
        http2.goaway(0, 0),
    ],
)
def test_floods_of_frames_that_carry_nothing(frame: bytes) -> None:
    server = raw(Http2Limits(max_idle_frames=500))
    server.core.receive(request(1, end=False) + request(3) + http2.rst_stream(3, 0))
    assert attack(server, [frame * 10] * 60).code == http2.ENHANCE_YOUR_CALM
    assert server.counters.floods == 1


def test_a_few_such_frames_for_each_stream_that_ends_are_no_flood() -> None:
    def answer(stream: ServerStream) -> None:
        stream.start(200, OK, length=0)
        stream.end()

    server = Server(answer, Http2Limits(max_idle_frames=20))
    server.core.receive(http2.PREFACE + http2.settings({}))
    for n in range(1, 401, 2):
        server.core.receive(request(n) + http2.frame(http2.PING, 0, 0, b"x" * 8) + http2.window_update(n, 500))
    assert len(server.exchanges) == 200


def test_endless_continuations() -> None:
    server = raw()
    server.core.receive(http2.frame(http2.HEADERS, 0, 1, b""))
    error = attack(server, [http2.frame(http2.CONTINUATION, 0, 1, b"\x00" * 16_000)] * 2000)
    assert error.code == http2.ENHANCE_YOUR_CALM
    server = raw()
    server.core.receive(http2.frame(http2.HEADERS, 0, 1, b""))
    assert attack(server, [http2.frame(http2.CONTINUATION, 0, 1) * 100] * 200).code == http2.ENHANCE_YOUR_CALM


def test_a_stream_that_takes_nothing_is_broken_off() -> None:
    server = raw()
    server.core.receive(http2.settings({http2.INITIAL_WINDOW_SIZE: 0}) + request(1) + request(3))
    for exchange in server.exchanges:
        exchange.stream.start(200, OK)
        exchange.stream.write(b"x" * 10)
    server.core.sweep(20)
    server.core.receive(http2.window_update(3, 5))
    server.core.sweep(31)
    assert [exchange.heard for exchange in server.exchanges] == [["ended", "gone"], ["ended"]]
    server.core.sweep(51)
    assert server.counters.streams_stalled == 2
    assert server.core.open_streams == 0


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_body_that_trickles_is_cut_off_unless_it_is_a_stream(is_stream: bool) -> None:
    server = raw(limits=Http2Limits(takes_stream=lambda target: is_stream))
    server.core.receive(request(1, end=False))
    for second in (0, 20, 40):
        server.core.sweep(second)
        server.core.receive(http2.frame(http2.DATA, 0, 1, b"x"))
    assert server.counters.bodies_timed_out == (not is_stream)


def test_a_client_that_reads_nothing_is_left() -> None:
    server = raw()
    server.core.receive(request(1))
    server.core.hold()
    server.core.sweep(29)
    with pytest.raises(Http2Error):
        server.core.sweep(31)
    assert server.counters.connections_stalled == 1


def test_a_body_that_does_not_come_is_answered() -> None:
    pair = Pair()
    pair.request(end=False)
    pair.request(end=False)
    pair.turn()
    pair.exchanges[1].stream.start(200, OK)  # both sides talk as they like
    pair.core.sweep(31)
    events = pair.turn()
    assert [e.stream_id for e in events if isinstance(e, ResponseReceived)] == [3, 1]
    assert codes(events) == [(1, http2.NO_ERROR)]
    assert pair.exchanges[0].heard == ["gone"]
    assert pair.core.open_streams == 1


def test_a_preface_or_a_header_block_that_never_ends() -> None:
    server = Server()
    server.core.receive(http2.PREFACE[:20])
    with pytest.raises(Http2Error):
        server.core.sweep(11)
    server = raw()
    server.core.sweep(1)
    server.core.receive(http2.frame(http2.HEADERS, 0, 1, b""))
    with pytest.raises(Http2Error):
        server.core.sweep(12)
