"""The life of a connection, and what ends it."""

import pytest
from h2.events import (
    ConnectionTerminated,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.http2 import OK, Pair, Server, raw, request
from troupe.gateway.wire import http2
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_server import Http2Limits


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
