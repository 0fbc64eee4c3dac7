"""The client's side of HTTP/2 against h2, an implementation of its own."""

from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.gateway.test_framing import cuts, pieces
from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_client import ClientConnection, ClientLimits, Stream

REQUEST = hpack_blocks.encode(
    [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/m"), (b":authority", b"a"), (b"te", b"trailers")]
)
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]
RESPONSE_BLOCK = hpack_blocks.encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
TRAILERS_BLOCK = hpack_blocks.encode([(b"grpc-status", b"0")])


class Log:
    """A receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.received = b""

    def headers(self, headers: Headers, *, end: bool) -> None:
        self.heard.append((dict(headers), end))

    def data(self, data: bytes) -> None:
        self.received += data

    def ended(self) -> None:
        self.heard.append("ended")

    def reset(self, code: int, message: str) -> None:
        self.heard.append(code)

    def writable(self) -> None:
        self.heard.append("writable")


class Pair:
    """A connection with h2 on its other end."""

    def __init__(self, **limits: Any) -> None:
        self.out: list[bytes] = []
        self.client = ClientConnection(write=self.out.append, limits=ClientLimits(**limits))
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.server.initiate_connection()
        self.client.start()
        self.to_server()
        self.to_client()
        self.to_server()

    def to_server(self) -> list[Event]:
        data = b"".join(self.out)
        self.out.clear()
        return list(self.server.receive_data(data)) if data else []

    def to_client(self) -> None:
        self.client.receive(self.server.data_to_send())

    def open(self) -> tuple[Stream, Log]:
        log = Log()
        return self.client.open(REQUEST, log), log


def test_a_call_and_its_answer() -> None:
    pair = Pair()
    stream, log = pair.open()
    assert stream.send(b"question", end=True)
    events = pair.to_server()
    assert [type(e) for e in events if isinstance(e, RequestReceived | DataReceived | StreamEnded)] == [
        RequestReceived,
        DataReceived,
        StreamEnded,
    ]
    pair.server.send_headers(1, RESPONSE)
    pair.server.send_data(1, b"an")
    pair.server.send_data(1, b"swer", pad_length=7)
    pair.server.send_headers(1, TRAILERS, end_stream=True)
    pair.to_client()
    assert log.received == b"answer"
    assert log.heard == [
        ({b":status": b"200", b"content-type": b"application/grpc"}, False),
        ({b"grpc-status": b"0"}, True),
    ]
    assert pair.client.open_streams == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=40)), max_size=12), cuts)
def test_answers_of_several_streams_however_they_are_cut(parts: list[tuple[int, bytes]], sizes: list[int]) -> None:
    pair = Pair()
    logs = [pair.open()[1] for _ in range(3)]
    pair.to_server()
    for index in range(3):
        pair.server.send_headers(2 * index + 1, RESPONSE)
    for index, data in parts:
        pair.server.send_data(2 * index + 1, data)
    for index in range(3):
        pair.server.send_headers(2 * index + 1, TRAILERS, end_stream=True)
    for piece in pieces(pair.server.data_to_send(), sizes):
        pair.client.receive(piece)
    for index, log in enumerate(logs):
        assert log.received == b"".join(data for i, data in parts if i == index)
        assert log.heard[-1] == ({b"grpc-status": b"0"}, True)


def test_request_waits_for_the_window() -> None:
    pair = Pair()
    stream, log = pair.open()
    body = bytes(range(256)) * 1000
    assert not stream.send(body, end=True)
    got = b""
    while len(got) < len(body):
        for event in pair.to_server():
            if isinstance(event, DataReceived):
                got += event.data
                pair.server.acknowledge_received_data(event.flow_controlled_length, 1)
        pair.to_client()
    assert got == body
    assert log.heard == ["writable"]


def test_window_is_given_back_in_large_steps_and_not_while_paused() -> None:
    pair = Pair(stream_window_bytes=65_536)
    stream, _ = pair.open()
    pair.to_server()
    pair.server.send_headers(1, RESPONSE)
    for _ in range(2):
        pair.server.send_data(1, b"x" * 16_000)
    pair.to_client()
    assert not [e for e in pair.to_server() if isinstance(e, WindowUpdated)]
    stream.pause()
    pair.server.send_data(1, b"x" * 16_000)
    pair.to_client()
    assert not [e for e in pair.to_server() if isinstance(e, WindowUpdated)]
    stream.resume()
    assert [e.delta for e in pair.to_server() if isinstance(e, WindowUpdated)] == [48_000]


def test_server_that_overruns_the_window_of_a_stream_ends_that_stream() -> None:
    pair = Pair(stream_window_bytes=65_536)
    stream, log = pair.open()
    _, other = pair.open()
    stream.pause()
    frame = http2.frame(http2.DATA, 0, 1, b"x" * 16_384)
    for _ in range(5):
        pair.client.receive(frame)
    assert (log.heard, other.heard) == ([http2.FLOW_CONTROL_ERROR], [])
    assert len(log.received) == 65_536
    assert b"".join(pair.out).endswith(http2.rst_stream(1, http2.FLOW_CONTROL_ERROR))


def test_reset_ends_the_stream_on_both_sides() -> None:
    pair = Pair()
    stream, log = pair.open()
    stream.reset(http2.CANCEL)
    assert [e.error_code for e in pair.to_server() if isinstance(e, StreamReset)] == [8]
    assert (log.heard, pair.client.open_streams) == ([], 0)
    _, other = pair.open()
    pair.to_server()
    pair.server.reset_stream(3, 7)
    pair.to_client()
    assert other.heard == [7]


def test_answer_before_the_end_of_the_request_stops_the_request() -> None:
    pair = Pair()
    stream, log = pair.open()
    stream.send(b"half", end=False)
    pair.to_server()
    pair.server.send_headers(1, [*RESPONSE, *TRAILERS], end_stream=True)
    pair.to_client()
    assert [e.error_code for e in pair.to_server() if isinstance(e, StreamReset)] == [0]
    assert len(log.heard) == 1


def test_long_header_blocks_are_split_both_ways() -> None:
    pair = Pair()
    log = Log()
    pair.client.open(REQUEST + hpack_blocks.encode([(b"x-long", b"v" * 40_000)]), log)
    requests = [e for e in pair.to_server() if isinstance(e, RequestReceived)]
    assert dict(requests[0].headers)[b"x-long"] == b"v" * 40_000
    pair.server.send_headers(1, [*RESPONSE, ("x-long", "w" * 40_000)])
    pair.to_client()
    assert isinstance(log.heard[0], tuple)
    assert log.heard[0][0][b"x-long"] == b"w" * 40_000


def test_ping_and_settings_are_answered() -> None:
    pair = Pair()
    pair.server.ping(b"12345678")
    pair.server.update_settings({4: 100_000})
    pair.to_client()
    names = [type(e).__name__ for e in pair.to_server()]
    assert names == ["PingAckReceived", "SettingsAcknowledged"]
    pair.client.ping()
    assert not pair.client.ping_answered
    pair.to_server()
    pair.to_client()
    assert pair.client.ping_answered


def test_goaway_keeps_old_streams_and_refuses_new_ones() -> None:
    pair = Pair()
    _, old = pair.open()
    _, young = pair.open()
    pair.to_server()
    pair.client.receive(http2.goaway(1, http2.NO_ERROR))
    assert not pair.client.has_room
    assert young.heard == [http2.REFUSED_STREAM]
    pair.server.send_headers(1, [*RESPONSE, *TRAILERS], end_stream=True)
    pair.to_client()
    assert len(old.heard) == 1


def test_most_streams_of_the_server_are_kept() -> None:
    pair = Pair()
    pair.server.update_settings({3: 1})
    pair.to_client()
    stream, _ = pair.open()
    assert not pair.client.has_room
    stream.reset(http2.CANCEL)
    assert pair.client.has_room


def test_lost_connection_ends_every_stream() -> None:
    pair = Pair()
    logs = [pair.open()[1] for _ in range(3)]
    pair.client.lost("gone")
    assert [log.heard for log in logs] == [[http2.REFUSED_STREAM]] * 3


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (http2.frame(http2.PING, 0, 0, b"short"), http2.FRAME_SIZE_ERROR),
        (http2.frame(http2.PUSH_PROMISE, 4, 1, b"\x00\x00\x00\x02"), http2.PROTOCOL_ERROR),
        (http2.frame(http2.CONTINUATION, 4, 1, b""), http2.PROTOCOL_ERROR),
        (http2.frame(http2.HEADERS, 0, 1, b"") + http2.frame(http2.PING, 0, 0, b"x" * 8), http2.PROTOCOL_ERROR),
        (http2.frame(http2.HEADERS, 4, 1, b"\xff\xff\xff\xff"), http2.COMPRESSION_ERROR),
        (http2.frame(http2.HEADERS, 4, 99, b""), http2.PROTOCOL_ERROR),
        (http2.frame(http2.DATA, 0, 99, b"x"), http2.PROTOCOL_ERROR),
        (http2.frame(http2.DATA, 8, 1, b"\x09x"), http2.PROTOCOL_ERROR),
        (http2.frame(http2.SETTINGS, 0, 0, b"abc"), http2.FRAME_SIZE_ERROR),
        (http2.settings({http2.MAX_FRAME_SIZE: 1}), http2.PROTOCOL_ERROR),
        (http2.settings({http2.INITIAL_WINDOW_SIZE: 2**31}), http2.FLOW_CONTROL_ERROR),
        (http2.window_update(0, 2**31 - 1), http2.FLOW_CONTROL_ERROR),
        (b"\xff\xff\xff\x00\x00\x00\x00\x00\x00", http2.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\x01\x04\x00\x00\x00\x01", http2.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\x03\x00\x00\x00\x00\x01", http2.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\x04\x00\x00\x00\x00\x01", http2.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\x08\x00\x00\x00\x00\x01", http2.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\x00\x00\x00\x00\x00\x09", http2.PROTOCOL_ERROR),
    ],
)
def test_server_that_breaks_the_protocol(data: bytes, code: int) -> None:
    pair = Pair()
    pair.open()
    with pytest.raises(Http2Error) as caught:
        pair.client.receive(data)
    assert caught.value.code == code


def test_endless_continuations_are_refused() -> None:
    pair = Pair()
    pair.open()
    pair.client.receive(http2.frame(http2.HEADERS, 0, 1, b""))
    piece = http2.frame(http2.CONTINUATION, 0, 1, b"\x00" * 16_000)

    def go_on() -> None:
        for _ in range(2000):
            pair.client.receive(piece)
            assert pair.client._block is not None
            assert len(pair.client._block.data) <= 64 << 10

    with pytest.raises(Http2Error) as caught:
        go_on()
    assert caught.value.code == http2.ENHANCE_YOUR_CALM


def test_server_that_is_no_http2_server() -> None:
    client = ClientConnection(write=lambda data: None, limits=ClientLimits())
    with pytest.raises(Http2Error):
        client.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")


# What is wrong with one stream ends that stream.

LITERAL = hpack_blocks.encode([(b"x", b"y" * 1000)])
SMALL = http2.DEFAULT_FRAME_BYTES
HARM: dict[str, tuple[bytes, int]] = {
    "trailers of 66 KiB": (http2.headers_frames(1, LITERAL * 66, end=True, max_frame_bytes=SMALL), 11),
    "headers of 66 KiB": (http2.headers_frames(1, LITERAL * 66, end=False, max_frame_bytes=SMALL), 11),
    "trailers of 8 MiB": (http2.headers_frames(1, LITERAL * 8400, end=True, max_frame_bytes=SMALL), 11),
    "trailers in one frame": (http2.headers_frames(1, LITERAL * 900, end=True, max_frame_bytes=1 << 20), 11),
    "short headers that are many": (http2.headers_frames(1, b"\x82" * 5000, end=False, max_frame_bytes=SMALL), 11),
    "an overrun window": (http2.frame(http2.DATA, 0, 1, b"x" * 60_000) * 2, 3),
    "an overrun with padding": (http2.frame(http2.DATA, http2.PADDED, 1, b"\x01" + b"x" * 60_000) * 2, 3),
    "a window of 2^31": (http2.window_update(1, http2.MAX_WINDOW_BYTES), 3),
    "a window update of 0": (http2.window_update(1, 0), 1),
    "data in too long a frame": (http2.frame(http2.DATA, 0, 1, b"x" * (2 << 20)), 6),
    "an unknown frame that is too long": (http2.frame(0x55, 0, 1, b"x" * (2 << 20)), 6),
    "a priority that is too long": (http2.frame(http2.PRIORITY, 0, 1, b"x" * (2 << 20)), 6),
    "a reset": (http2.rst_stream(1, http2.INTERNAL_ERROR), 2),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("piece_bytes", [1 << 30, 10_007])
def test_a_fault_of_one_stream_ends_no_other(harm: str, piece_bytes: int) -> None:
    pair = Pair(stream_window_bytes=65_536, max_frame_bytes=1 << 20)
    paused, hostile = pair.open()
    paused.pause()
    innocents = [pair.open() for _ in range(20)]
    for stream, _ in innocents:
        pair.client.receive(http2.headers_frames(stream.id, RESPONSE_BLOCK, end=False, max_frame_bytes=SMALL))
    data, code = HARM[harm]
    for start in range(0, len(data), piece_bytes):
        pair.client.receive(data[start : start + piece_bytes])
        assert len(pair.client._buffer) < 2 << 20
    assert hostile.heard[-1] == code
    for stream, log in innocents:
        pair.client.receive(http2.data_frames(stream.id, b"event", end=False, max_frame_bytes=SMALL))
        pair.client.receive(http2.headers_frames(stream.id, TRAILERS_BLOCK, end=True, max_frame_bytes=SMALL))
        assert (log.received, log.heard[-1]) == (b"event", ({b"grpc-status": b"0"}, True))
    assert pair.client.open_streams == 0
    assert pair.client.has_room


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    pair = Pair()
    pair.open()
    try:
        pair.client.receive(data)
    except Http2Error:
        return
