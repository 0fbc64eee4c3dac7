"""Bodies of gRPC-Web: messages, and base64."""

import struct
from collections.abc import Sequence
from random import Random
from typing import Final

from tests.fuzz.target import Target, cut, equal, hold
from troupe.gateway.wire.framing import FramingError, MessageScanner, MessageTooLargeError, trailers_frame
from troupe.gateway.wire.text import TextDecoder, encode_text

_MAX_MESSAGE_BYTES: Final = 300
_MESSAGE_TOKENS: Final = (
    b"\x00\x00\x00\x00\x00", b"\x01\x00\x00\x00\x01a", b"\x80\x00\x00\x00\x00", b"\x00\xff\xff\xff\xff",
    b"\x00\x00\x00\x01\x2c", b"\x00\x00\x00\x01\x2d", b"\x02",
)  # fmt: skip
_TEXT_TOKENS: Final = (b"=", b"==", b"===", b"QQ==", b"QUI=", b"QUJD", b"A", b"+/", b"-_", b"\r\n", b" ", b"\x00")


def _messages(random: Random) -> list[bytes]:
    bodies = []
    for _ in range(128):
        payloads = [random.randbytes(random.choice([0, 1, 5, 30, 300])) for _ in range(random.randrange(5))]
        bodies.append(b"".join([struct.pack(">BI", random.randrange(2), len(part)) + part for part in payloads]))
    return bodies


def _scan(pieces: Sequence[bytes]) -> str:
    scanner = MessageScanner(max_message_bytes=_MAX_MESSAGE_BYTES)
    try:
        for piece in pieces:
            scanner.feed(piece)
            hold(len(scanner._header) < 5, "more than a header is kept")
    except MessageTooLargeError:
        return "too large"
    except FramingError:
        return "flags"
    try:
        scanner.close()
    except FramingError:
        return "incomplete"
    return "whole"


def _expected(data: bytes) -> str:
    """The same, said another way."""
    position = 0
    while position + 5 <= len(data):
        flags, length = struct.unpack_from(">BI", data, position)
        if flags > 1:
            return "flags"
        if length > _MAX_MESSAGE_BYTES:
            return "too large"
        position += 5 + length
    return "whole" if position == len(data) else "incomplete"


def _check_scanner(data: bytes, at: int) -> None:
    whole = _scan([data])
    equal(_scan(cut(data, at)), whole, "messages in pieces")
    equal(whole, _expected(data), "what the body is")
    message = struct.pack(">BI", 1, len(data)) + data
    equal(_scan([message, message]), "whole" if len(data) <= _MAX_MESSAGE_BYTES else "too large", "two messages")


def _texts(random: Random) -> list[bytes]:
    return [
        b"".join([encode_text(random.randbytes(random.randrange(40))) for _ in range(random.randrange(4))])
        for _ in range(128)
    ]


def _decode(pieces: Sequence[bytes]) -> bytes | None:
    decoder = TextDecoder()
    try:
        parts = []
        for piece in pieces:
            parts.append(decoder.feed(piece))
            hold(len(decoder._rest) < 4, "more than a group is kept")
        return b"".join([*parts, decoder.close()])
    except FramingError:
        return None


def _check_text(data: bytes, at: int) -> None:
    whole = _decode([data])
    equal(_decode(cut(data, at)), whole, "text in pieces")
    hold(whole is None or 4 * len(whole) <= 3 * len(data) + 3, "more bytes than the text has room for")
    equal(_decode(cut(encode_text(data) + encode_text(data[:at]), at)), data + data[:at], "bytes written as text")


def _check_trailers(data: bytes, at: int) -> None:
    pairs = [tuple(line.split(b":", 1)) for line in data.split(b"\r\n") if b":" in line]
    frame = trailers_frame([(pair[0], pair[1]) for pair in pairs])
    flags, length = struct.unpack_from(">BI", frame)
    equal((flags, length), (0x80, len(frame) - 5), "the header of the trailers")
    lines = frame[5:].split(b"\r\n")[:-1]
    equal([tuple(line.split(b": ", 1)) for line in lines if b": " in line], pairs, f"trailers (cut at {at})")


def _trailers(random: Random) -> list[bytes]:
    lines = [b"grpc-status:0", b"grpc-message:a%20b", b"x-a-bin:AAE", b"x:"]
    return [b"\r\n".join(random.sample(lines, random.randrange(len(lines)))) for _ in range(32)]


TARGETS: Final = (
    Target(
        "framing.scanner",
        "the verdict of a second implementation, however it is cut; at most 4 bytes are kept",
        _messages,
        _MESSAGE_TOKENS,
        _check_scanner,
    ),
    Target(
        "framing.trailers", "lines as they were given", _trailers, (b"\r\n", b": ", b"grpc-status"), _check_trailers
    ),
    Target(
        "text",
        "the same bytes however it is cut; what was written is read again; at most 3 bytes are kept",
        _texts,
        _TEXT_TOKENS,
        _check_text,
    ),
)
