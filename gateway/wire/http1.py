"""HTTP/1.1 as servers see it: request heads, bodies, responses. RFC 9112.

Strict where laxness would let requests be smuggled.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Protocol

from gateway.wire.request import RequestHead

LAST_CHUNK: Final = b"0\r\n\r\n"
_CACHED_HEAD_BYTES: Final = 4096
_MAX_CHUNK_LINE_BYTES: Final = 256
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")


class BadRequestError(Exception):
    """Bytes that are no request that can be taken; the connection is of no further use."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, eq=False)
class Http1Head(RequestHead):
    """The head of a request, and what it says of the connection."""

    content_length: int | None
    chunked: bool
    minor: int
    keep_alive: bool

    @property
    def has_body(self) -> bool:
        """Whether bytes of a body follow."""
        return self.chunked or bool(self.content_length)


def parse_head(head: bytes) -> Http1Head:
    """Reads the bytes before the empty line.

    Raises:
        BadRequestError: they are no request head.
    """
    # Clients repeat their heads, so most are known already.
    return _parse_cached(head) if len(head) <= _CACHED_HEAD_BYTES else _parse(head)


def _parse(head: bytes) -> Http1Head:
    request_line, *lines = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        raise BadRequestError(400, "this is no HTTP/1.1 request")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise BadRequestError(505, "this port speaks HTTP/1.1")
    headers = tuple([_field(line) for line in lines])
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = b", ".join((fields[name], value)) if name in fields else value
    if b"host" not in fields and minor != b"0":
        raise BadRequestError(400, "the header `host` is missing")
    length, chunked = _body_of(fields)
    return Http1Head(method, target, headers, fields, False, length, chunked, int(minor), _keep_alive(fields, minor))


_parse_cached = lru_cache(maxsize=1024)(_parse)


def _field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise BadRequestError(400, f"a header line is not `name: value`: {line[:64]!r}")
    return match[1].lower(), match[2].rstrip(b" \t")


def _body_of(fields: Mapping[bytes, bytes]) -> tuple[int | None, bool]:
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadRequestError(400, "`content-length` and `transfer-encoding` cannot stand together")
        if coding.lower() != b"chunked":
            raise BadRequestError(501, f"the transfer coding {coding!r} is not known; use `chunked`")
        return None, True
    if length is not None and _DIGITS.fullmatch(length) is None:
        raise BadRequestError(400, f"`content-length` is {length[:64]!r}, which is no length")
    return None if length is None else int(length), False


def _keep_alive(fields: Mapping[bytes, bytes], minor: bytes) -> bool:
    options = fields.get(b"connection", b"").lower()
    return b"close" not in options if minor != b"0" else b"keep-alive" in options


class Body(Protocol):
    """Cuts a request body out of the bytes of a connection."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """The body's part of the bytes, and what stands behind the body: None while it has not ended."""
        ...


class FixedBody:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self._remaining = length

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See `Body`."""
        if len(data) < self._remaining:
            self._remaining -= len(data)
            return data, None
        length, self._remaining = self._remaining, 0
        return data[:length], data[length:]


class ChunkedBody:
    """A body in chunks; extensions and trailers of it are read and dropped."""

    def __init__(self) -> None:
        self._buffer = b""
        self._remaining = 0
        self._in_trailers = False

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See `Body`.

        Raises:
            BadRequestError: the bytes are no chunks.
        """
        self._buffer += data
        parts: list[bytes] = []
        while not self._in_trailers:
            if self._remaining:
                if not self._take(parts):
                    return b"".join(parts), None
            elif not self._begin():
                return b"".join(parts), None
        return b"".join(parts), self._skip_trailers()

    def _begin(self) -> bool:
        line, found, rest = self._buffer.partition(b"\r\n")
        if len(line) > _MAX_CHUNK_LINE_BYTES:
            raise BadRequestError(400, "the line of a chunk's size is too long")
        if not found:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise BadRequestError(400, f"{line[:64]!r} is no size of a chunk")
        size = int(match[1], 16)
        self._buffer, self._remaining, self._in_trailers = rest, size + 2 if size else 0, size == 0
        return True

    def _take(self, parts: list[bytes]) -> bool:
        # The line end behind a chunk counts as two of its bytes, and is taken only as a whole.
        available = min(len(self._buffer), self._remaining - 2)
        if available:
            parts.append(self._buffer[:available])
            self._buffer = self._buffer[available:]
            self._remaining -= available
        if self._remaining > 2 or len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise BadRequestError(400, "a chunk is longer than its size says")
        self._buffer, self._remaining = self._buffer[2:], 0
        return True

    def _skip_trailers(self) -> bytes | None:
        while True:
            line, found, rest = self._buffer.partition(b"\r\n")
            if len(line) > _CACHED_HEAD_BYTES:
                raise BadRequestError(431, "a trailer of the request is too long")
            if not found:
                return None
            self._buffer = rest
            if not line:
                return rest


class EndlessBody:
    """All that comes, to the end of the connection: another protocol's bytes."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See `Body`."""
        return data, None


def body_reader(head: Http1Head) -> Body:
    """What cuts out the body of a request."""
    return ChunkedBody() if head.chunked else FixedBody(head.content_length or 0)


def response_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of a response, up to and with the empty line."""
    return b"".join([_status_line(status), *[b"%b: %b\r\n" % pair for pair in headers], b"\r\n"])


def chunk(data: bytes) -> bytes:
    """A chunk of a body; the data must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
