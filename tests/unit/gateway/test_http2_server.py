"""The server's side of HTTP/2 against h2, an implementation of its own, and against our own client's side."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    TrailersReceived,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.http2 import BLOCK, OK, REQUEST, Pair, Server, body_of, codes
from tests.unit.gateway.test_framing import cuts, pieces
from troupe.gateway.wire import http2
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.http2_client import ClientConnection, ClientLimits
from troupe.gateway.wire.http2_server import ServerStream


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
