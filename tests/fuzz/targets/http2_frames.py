"""Frames of HTTP/2: a grammar of them, and the functions that write and read them."""

import struct
from random import Random
from typing import Final

from hpack import Encoder

from tests.fuzz.target import Target, equal, hold
from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.http2 import Http2Error

TOKENS: Final = (
    http2.PREFACE,
    http2.settings({}),
    http2.frame(http2.SETTINGS, http2.ACK, 0),
    http2.settings({http2.INITIAL_WINDOW_SIZE: 0}),
    http2.settings({http2.INITIAL_WINDOW_SIZE: http2.MAX_WINDOW_BYTES}),
    http2.settings({http2.MAX_FRAME_SIZE: 16_384, http2.MAX_CONCURRENT_STREAMS: 0}),
    http2.frame(http2.PING, 0, 0, b"12345678"),
    http2.frame(http2.DATA, 0, 1, b"data"),
    http2.frame(http2.DATA, http2.END_STREAM, 1),
    http2.frame(http2.DATA, http2.PADDED, 1, b"\x02dataxx"),
    http2.frame(http2.HEADERS, 0, 1),
    http2.frame(http2.HEADERS, http2.PADDED | http2.PRIORITISED | http2.END_HEADERS, 1, b"\x01\0\0\0\0\x01\x88x"),
    http2.frame(http2.CONTINUATION, 0, 1),
    http2.frame(http2.CONTINUATION, http2.END_HEADERS, 1),
    http2.rst_stream(1, http2.CANCEL),
    http2.goaway(1, http2.NO_ERROR),
    http2.window_update(0, 1),
    http2.window_update(1, http2.MAX_WINDOW_BYTES),
    http2.window_update(3, 0),
    b"\x00\x00\x00",
    b"\x80\x00\x00\x01",
    b"\xff\xff\xff",
)
_ENCODER: Final = Encoder()
_ENCODER.header_table_size = 0


def block(random: Random, *pairs: tuple[bytes, bytes]) -> bytes:
    """A header block, as some encoder or other writes it."""
    return hpack_blocks.encode(pairs) if random.random() < 0.5 else _ENCODER.encode(pairs)


def headers(random: Random, stream_id: int, fragment: bytes, *, end: bool) -> bytes:
    """A header block in as many frames as chance has it, padded or not."""
    flags = http2.END_STREAM if end else 0
    before = after = b""
    if random.random() < 0.2:
        padding = random.randrange(9)
        flags |= http2.PADDED
        before, after = bytes((padding,)), bytes(padding)
    if random.random() < 0.2:
        flags |= http2.PRIORITISED
        before += b"\0\0\0\0\x10"
    if random.random() < 0.7:
        return http2.frame(http2.HEADERS, flags | http2.END_HEADERS, stream_id, before + fragment + after)
    at = random.randrange(len(fragment) + 1)
    return (
        http2.frame(http2.HEADERS, flags, stream_id, before + fragment[:at] + after)
        + http2.frame(http2.CONTINUATION, 0, stream_id) * random.randrange(2)
        + http2.frame(http2.CONTINUATION, http2.END_HEADERS, stream_id, fragment[at:])
    )


def data(random: Random, stream_id: int, *, end: bool) -> bytes:
    """A DATA frame, padded or not."""
    flags, payload = (http2.END_STREAM if end else 0), random.randbytes(random.choice([0, 1, 5, 60]))
    if random.random() < 0.2:
        padding = random.randrange(9)
        return http2.frame(http2.DATA, flags | http2.PADDED, stream_id, bytes((padding,)) + payload + bytes(padding))
    return http2.frame(http2.DATA, flags, stream_id, payload)


def control(random: Random) -> bytes:
    """A frame that is about the connection, or about nothing that is known."""
    stream_id = random.choice([0, 1, 3, 5])
    return random.choice(
        [
            http2.frame(http2.PING, random.randrange(2), 0, random.randbytes(8)),
            http2.window_update(stream_id, random.choice([1, 100, 1 << 20, http2.MAX_WINDOW_BYTES])),
            http2.settings({random.randrange(8): random.choice([0, 1, 100, 16_384, 65_535, 1 << 24, 2**31 - 1])}),
            http2.frame(http2.SETTINGS, http2.ACK, 0),
            http2.frame(http2.PRIORITY, 0, stream_id, b"\0\0\0\0\x10"),
            http2.rst_stream(stream_id, random.randrange(14)),
            http2.frame(random.randrange(10, 256), random.randrange(256), stream_id, random.randbytes(6)),
        ]
    )


def parse(stream: bytes) -> list[tuple[int, int, int, bytes]]:
    """Frames that this side wrote: kind, flags, stream and payload of each."""
    frames, position = [], 0
    while position < len(stream):
        high, low, kind, flags, stream_id = struct.unpack_from(">BHBBI", stream, position)
        length = high << 16 | low
        position += 9 + length
        hold(position <= len(stream), "a frame is longer than what was written")
        frames.append((kind, flags, stream_id, stream[position - length : position]))
    return frames


def _payloads(random: Random) -> list[bytes]:
    return [random.randbytes(random.randrange(100)) for _ in range(64)]


def _check_frames(payload: bytes, at: int) -> None:
    longest = max(1, at, len(payload) >> 6)
    frames = parse(http2.data_frames(5, payload, end=at % 2 == 0, max_frame_bytes=longest))
    equal(b"".join([frame[3] for frame in frames]), payload, "the payload of DATA frames")
    equal([frame[1] & http2.END_STREAM for frame in frames], [0] * (len(frames) - 1) + [int(at % 2 == 0)], "flags")
    hold({frame[0] for frame in frames} == {http2.DATA}, "frames of another kind")
    frames = parse(http2.headers_frames(7, payload, end=at % 2 == 1, max_frame_bytes=longest))
    equal(b"".join([frame[3] for frame in frames]), payload, "the payload of HEADERS frames")
    equal([frame[0] for frame in frames], [http2.HEADERS] + [http2.CONTINUATION] * (len(frames) - 1), "kinds")
    ends = [frame[1] & http2.END_HEADERS for frame in frames]
    equal(ends, [0] * (len(frames) - 1) + [http2.END_HEADERS], "ends")
    hold(all(len(frame[3]) <= longest for frame in frames), "a frame that is too long")
    for kind in (http2.DATA, http2.HEADERS):
        try:
            hold(len(http2.unpadded(kind, at & 0xFF, payload)) <= len(payload), "padding was added")
        except Http2Error as error:
            equal(error.code, http2.PROTOCOL_ERROR, "the code")
    try:
        list(http2.parse_settings(payload))
    except Http2Error as error:
        hold(error.code == http2.FRAME_SIZE_ERROR and len(payload) % 6, "settings were refused")


TARGETS: Final = (
    Target(
        "http2.frames", "what is written is read again; only Http2Error", _payloads, (b"\0", b"\xff"), _check_frames
    ),
)
