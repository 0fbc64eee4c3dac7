"""Header blocks, and what they mean."""

import re
from random import Random
from typing import Final

from hpack import Encoder

from tests.fuzz.target import Target, equal, hold
from troupe.gateway.wire import hpack_blocks, hpack_fields, http1, metadata
from troupe.gateway.wire.hpack_blocks import HeaderBlockError, Headers
from troupe.gateway.wire.http1 import BadRequestError

_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_OPENING: Final = ((b"te", b"trailers"), (b"content-type", b"application/grpc+proto"))
_PAIRS: Final = (
    (b":status", b"200"), (b":status", b"503"), (b"content-type", b"application/grpc"), (b"grpc-status", b"0"),
    (b"grpc-status", b"14"), (b"grpc-message", b"a%20b"), (b"grpc-status-details-bin", b"CAU"), (b"x-a", b"b"),
    (b"x-long", b"v" * 200), (b"access-control-allow-origin", b"*"), (b"date", b"now"), (b"x-a-bin", b"AAE="),
)  # fmt: skip
_BLOCK_TOKENS: Final = (
    b"\x20", b"\x3f\xe1\x1f", b"\x80", b"\x82", b"\xbe", b"\xff\xff\xff\xff\xff\x0f", b"\x7f\xff", b"\x00\x00\x00",
    b"\x40\x01a\x01b", b"\x00\x81\xff\x00", b"\x10\x01a\x82\xff\xff", b"\x0f\x2f", b"\x00\x01a\x7f\x80\x01",
)  # fmt: skip


def _blocks(random: Random) -> list[bytes]:
    blocks = []
    for _ in range(128):
        pairs = random.choices(_PAIRS, k=random.randrange(5))
        if random.random() < 0.5:
            blocks.append(hpack_blocks.encode(pairs))
        else:
            encoder = Encoder()
            encoder.header_table_size = random.choice([0, 0, 4096])
            blocks.append(encoder.encode(pairs, huffman=random.random() < 0.5))
    return blocks


def _size(headers: Headers) -> int:
    return sum([len(name) + len(value) + 32 for name, value in headers])


def _check_block(data: bytes, _at: int) -> None:
    try:
        headers = hpack_fields.decode(data)
    except HeaderBlockError:
        return
    if headers is None:
        return
    hold(_size(headers) <= hpack_blocks.MAX_HEADER_LIST_BYTES, "a list that is too long")
    equal(hpack_fields.decode(hpack_blocks.encode(headers)), headers, "headers written and read again")


def _lines(random: Random) -> list[bytes]:
    return [
        b"\n".join([b"%b\t%b" % pair for pair in random.choices(_PAIRS, k=random.randrange(6))]) for _ in range(128)
    ]


def _check_response(data: bytes, _at: int) -> None:
    headers = [(name, value) for name, _, value in [line.partition(b"\t") for line in data.split(b"\n")]]
    block = metadata.read_response(tuple(headers))
    hold(block.http_status in range(1000), "an HTTP status of more than three digits")
    status = block.status or metadata.missing_status(block)
    for name, value in (*block.metadata, *status.pairs):
        hold(name and name.isascii() and b":" not in name and not _FORBIDDEN.search(name), f"the name {name!r}")
        hold(not _FORBIDDEN.search(value), "a control character in a value")


def _requests(random: Random) -> list[bytes]:
    lines = [
        b"authorization: Bearer a", b"x-a: b", b"x-a-bin: AAE", b"grpc-timeout: 1S", b"te: trailers", b"cookie: a=b",
        b"connection: x-a", b"sec-fetch-mode: cors", b"x-long: " + b"v" * 200,
    ]  # fmt: skip
    return [
        b"\r\n".join([b"POST /a.B/C HTTP/1.1", b"host: h", *random.sample(lines, random.randrange(len(lines)))])
        for _ in range(128)
    ]


def _check_request(data: bytes, _at: int) -> None:
    try:
        head = http1.parse_head(data)
    except BadRequestError:
        return
    block = metadata.request_block(head, head.target, _OPENING, b"b:1")
    hold(len(block) <= 2 * len(data) + 200, "a block that is longer than its request")
    if len(data) > 300:
        return  # decoding costs more than all the rest
    headers = hpack_fields.decode(block) or ()
    equal([value for name, value in headers if name == b":path"], [head.target], "the path")
    hold(not any(name.startswith(b":") for name, _ in headers[4:]), "a pseudo-header of the client's")
    given = set(head.headers)
    hold(all(pair in given for pair in headers[6:]), "a header that the client did not send")


TARGETS: Final = (
    Target(
        "hpack.block",
        "refused, or read into at most 64 KiB, and written again it is read the same",
        _blocks,
        _BLOCK_TOKENS,
        _check_block,
    ),
    Target(
        "metadata.response",
        "any headers give a status and metadata without control characters",
        _lines,
        (b"\t", b"\n", b":status\t", b"grpc-status\t", b"9" * 20, b"content-type\tapplication/grpc"),
        _check_response,
    ),
    Target(
        "metadata.request",
        "a head becomes a block with its own path and no pseudo-headers of the client's",
        _requests,
        (b"\r\n", b": ", b":path: /x", b"connection: ", b"x-b: c"),
        _check_request,
    ),
)
