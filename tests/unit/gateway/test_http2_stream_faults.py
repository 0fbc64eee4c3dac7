"""What is wrong with one stream ends that stream."""

import pytest

from tests.support.http2 import BLOCK, OK, RAW_REQUEST, raw, request
from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.http2_server import Http2Limits

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
