"""Heads and bodies of HTTP/1.1."""

import re
from collections.abc import Sequence
from random import Random
from typing import Final

from tests.fuzz.target import Target, cut, equal, hold
from troupe.gateway.wire import http1
from troupe.gateway.wire.http1 import BadRequestError, Body, ChunkedBody, FixedBody

_MAX_HELD_BYTES: Final = 4098
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NAMES: Final = (
    b"host", b"Host", b"content-length", b"Content-Length", b"transfer-encoding", b"connection", b"expect", b"origin",
    b"content-type", b"x-grpc-web", b"grpc-timeout", b"accept", b"x-a", b"x-a-bin", b"authorization", b"te",
)  # fmt: skip
_VALUES: Final = (
    b"", b"a", b"0", b"5", b"18446744073709551616", b"-1", b"+1", b"5, 5", b"chunked", b"Chunked", b"gzip, chunked",
    b"chunked, chunked", b"identity", b"close", b"keep-alive", b"100-continue", b"application/grpc-web+proto",
    b"https://a.example", b"1S", b"AAECAw==", b"\xc3\xa9", b"a \t b",
)  # fmt: skip
_TOKENS: Final = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b": ", b" :", b"\t", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET / ",
    b"\r\n ", b"\r\nhost: b", b"\r\ntransfer-encoding: chunked", b"\r\ncontent-length: 3", *_NAMES, *_VALUES,
)  # fmt: skip
_CHUNK_TOKENS: Final = (
    b"\r\n", b"\n", b"\r", b"0\r\n\r\n", b"0\r\n", b"1\r\na\r\n", b"f", b"F", b"0x1", b"-1", b"+1", b";", b";a=b",
    b';a="b\r\n"', b" ", b"ffffffffffffffff", b"fffffffffffffff\r\n", b"000000000000001\r\n", b"x: y\r\n",
    b"POST / HTTP/1.1\r\n",
)  # fmt: skip


def _heads(random: Random) -> list[bytes]:
    return [_head(random) for _ in range(256)]


def _head(random: Random) -> bytes:
    method = random.choice([b"POST", b"GET", b"OPTIONS", b"M-SEARCH"])
    target = random.choice([b"/", b"/a.B/C", b"*", b"http://h/p?q", b"/%00%0d%0a"])
    lines = [b"host: h"] if random.random() < 0.8 else []
    for _ in range(random.randrange(6)):
        blanks = random.choice([b"", b" ", b" \t"])
        lines.append(random.choice(_NAMES) + b":" + blanks + random.choice(_VALUES) + random.choice([b"", blanks]))
    random.shuffle(lines)
    minor = b"1" if random.random() < 0.8 else b"0"
    return b"\r\n".join([b"%b %b HTTP/1.%b" % (method, target, minor), *lines])


def _check_head(data: bytes, _at: int) -> None:
    try:
        head = http1.parse_head(data)
    except BadRequestError as error:
        hold(error.status in (400, 431, 501, 505), f"the status is {error.status}")
        return
    hold(not (head.chunked and head.content_length is not None), "two lengths")
    hold(head.content_length is None or head.content_length >= 0, "a negative length")
    hold(b"transfer-encoding" not in head.fields or head.chunked, "a transfer coding that nobody decodes")
    names = [name for name, _ in head.headers]
    equal(set(names), set(head.fields), "names")
    hold(names.count(b"host") <= 1, "two hosts")
    for name, value in head.headers:
        hold(name == name.lower(), "a name in upper case")
        hold(not _FORBIDDEN.search(value), "a control character in a value")
    again = b"\r\n".join(
        [b"%b %b HTTP/1.%d" % (head.method, head.target, head.minor), *[b"%b: %b" % pair for pair in head.headers]]
    )
    equal(http1.parse_head(again).headers, head.headers, "headers written and read again")


def _chunked(random: Random) -> list[bytes]:
    bodies = []
    for _ in range(256):
        parts = [bytes(random.randrange(1, 40)) for _ in range(random.randrange(5))]
        extension = random.choice([b"", b"", b";a=b", b' ; x="y"'])
        wire = b"".join([b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts]) + b"0\r\n"
        wire += random.choice([b"", b"", b"x-a: b\r\n"]) + b"\r\n"
        bodies.append(wire + random.choice([b"", b"", b"GET / HTTP/1.1\r\n"]))
    return bodies


_Outcome = tuple[bytes, bytes] | None | int


def _read(reader: Body, pieces: Sequence[bytes]) -> tuple[bytes, _Outcome]:
    """The body; and what stands behind it, or None while it goes on, or the status of the refusal."""
    parts: list[bytes] = []
    try:
        for index, piece in enumerate(pieces):
            part, rest = reader.feed(piece)
            parts.append(part)
            if rest is not None:
                return b"".join(parts), (b"", rest + b"".join(pieces[index + 1 :]))
    except BadRequestError as error:
        return b"".join(parts), error.status
    return b"".join(parts), None


def _check_chunked(data: bytes, at: int) -> None:
    body, outcome = _read(ChunkedBody(), [data])
    reader = ChunkedBody()
    body_of_pieces, outcome_of_pieces = _read(reader, cut(data, at))
    equal(outcome_of_pieces, outcome, "the end of a body in pieces")
    if not isinstance(outcome, int):
        equal(body_of_pieces, body, "a body in pieces")
    hold(len(body) <= len(data), "more body than bytes")
    if outcome is None:
        hold(len(reader._data) <= _MAX_HELD_BYTES, f"{len(reader._data)} bytes are kept")
    if data:
        wire = http1.chunk(data) + http1.LAST_CHUNK + b"behind"
        equal(_read(ChunkedBody(), cut(wire, at)), (data, (b"", b"behind")), "a chunk written and read")


def _fixed(random: Random) -> list[bytes]:
    return [random.randbytes(random.randrange(60)) for _ in range(64)]


def _check_fixed(data: bytes, at: int) -> None:
    for length in (0, at, len(data), len(data) + 1):
        body, outcome = _read(FixedBody(length), cut(data, at))
        equal(body, data[:length], "the body")
        equal(outcome, (b"", data[length:]) if length <= len(data) else None, "what stands behind it")


TARGETS: Final = (
    Target(
        "http1.head",
        "refused with a status, or read into fields without control characters, one host and one length; "
        "written again it is read the same",
        _heads,
        _TOKENS,
        _check_head,
    ),
    Target(
        "http1.chunked",
        "the same body and end however it is cut; at most 4 KiB are kept",
        _chunked,
        _CHUNK_TOKENS,
        _check_chunked,
    ),
    Target("http1.fixed", "the same body and end however it is cut", _fixed, (), _check_fixed),
)
