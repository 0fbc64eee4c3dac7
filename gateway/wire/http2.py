"""The frames of HTTP/2. RFC 9113."""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES: Final = 9
DEFAULT_WINDOW_BYTES: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
MAX_WINDOW_BYTES: Final = 2**31 - 1
MAX_STREAM_ID: Final = 2**31 - 1

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x01
ACK: Final = 0x01
END_HEADERS: Final = 0x04
PADDED: Final = 0x08
PRIORITISED: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
FLOW_CONTROL_ERROR: Final = 3
SETTINGS_TIMEOUT: Final = 4
STREAM_CLOSED: Final = 5
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
COMPRESSION_ERROR: Final = 9
ENHANCE_YOUR_CALM: Final = 11

# RFC 9113, 8.2.2: headers of HTTP/1.1 that must not stand in HTTP/2.
OF_CONNECTIONS: Final = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))

# Length (24 bits) and type (8) are read as one number, since struct has no 24-bit integers.
FRAME_HEADER: Final = struct.Struct(">IBI")
_UINT32: Final = struct.Struct(">I")
_SETTING: Final = struct.Struct(">HI")


class Http2Error(Exception):
    """The peer broke the protocol; the connection has to be closed with `code`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return FRAME_HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def headers_frames(stream_id: int, block: bytes, *, end: bool, max_frame_bytes: int) -> bytes:
    """A header block as HEADERS and as many CONTINUATIONs as it needs."""
    flags = END_STREAM if end else 0
    if len(block) <= max_frame_bytes:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [block[start : start + max_frame_bytes] for start in range(0, len(block), max_frame_bytes)]
    middle = [frame(CONTINUATION, 0, stream_id, part) for part in parts[1:-1]]
    first, last = frame(HEADERS, flags, stream_id, parts[0]), frame(CONTINUATION, END_HEADERS, stream_id, parts[-1])
    return b"".join([first, *middle, last])


def data_frames(stream_id: int, data: bytes, *, end: bool, max_frame_bytes: int) -> bytes:
    """Data as one or more DATA frames."""
    flags = END_STREAM if end else 0
    if len(data) <= max_frame_bytes:
        return frame(DATA, flags, stream_id, data)
    last = (len(data) - 1) // max_frame_bytes * max_frame_bytes
    parts = [frame(DATA, 0, stream_id, data[i : i + max_frame_bytes]) for i in range(0, last, max_frame_bytes)]
    return b"".join([*parts, frame(DATA, flags, stream_id, data[last:])])


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join([_SETTING.pack(key, value) for key, value in values.items()]))


def parse_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """The values of a SETTINGS frame.

    Raises:
        Http2Error: the payload has no length that it can have.
    """
    if len(payload) % _SETTING.size:  # RFC 9113, 6.5
        raise Http2Error(FRAME_SIZE_ERROR, "a SETTINGS frame has a broken length")
    return _SETTING.iter_unpack(payload)


def window_update(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _UINT32.pack(increment))


def rst_stream(stream_id: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, _UINT32.pack(code))


def goaway(last_stream_id: int, code: int, message: str = "") -> bytes:
    """A GOAWAY frame."""
    return frame(GOAWAY, 0, 0, _UINT32.pack(last_stream_id) + _UINT32.pack(code) + message.encode())


def parse_uint32(payload: bytes) -> int:
    """The first 32 bits of a payload.

    Raises:
        Http2Error: it is shorter.
    """
    if len(payload) < 4:  # RFC 9113, 6.4, 6.8 and 6.9
        raise Http2Error(FRAME_SIZE_ERROR, "a frame is too short")
    value: int = _UINT32.unpack_from(payload)[0]
    return value


def unpadded(kind: int, flags: int, payload: bytes) -> bytes:
    """The payload of DATA or HEADERS without padding and priority.

    Raises:
        Http2Error: the padding is longer than the payload.
    """
    start, end = 0, len(payload)
    if flags & PADDED:
        start, end = 1, end - (payload[0] if payload else 1)
    if kind == HEADERS and flags & PRIORITISED:
        start += 5
    if start > end:  # RFC 9113, 6.1 and 6.2
        raise Http2Error(PROTOCOL_ERROR, "a frame has more padding than payload")
    return payload[start:end]
