"""Header blocks, their table, and trailers."""

import pytest
from hpack import Encoder

from tests.support.http2 import BLOCK, RAW_REQUEST, Server, raw, request
from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.request_blocks import RequestBlockReader


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
