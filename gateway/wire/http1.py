"""HTTP/1.1 as servers see it: request heads, bodies, responses. RFC 9112.

Strict where laxness would let requests be smuggled.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Protocol

from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.remembering import SECRET_NAMES, logs_in, remembered
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown

LAST_CHUNK: Final = b"0\r\n\r\n"
_CACHED_HEAD_BYTES: Final = 4096
_CACHED_LINE_BYTES: Final = 256
# 499 stands in no RFC: it is the answer to a call that was cancelled.
PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus} | {499: b"Client Closed Request"}
_MAX_FIELDS: Final = 256
_MAX_CHUNK_LINE_BYTES: Final = 256
_MAX_TRAILER_BYTES: Final = 4096
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
# Possessive, since blanks could be shared out between both parts in as many ways as there are of them.
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)")
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

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a word before it sends the body. In HTTP/1.0 it cannot (RFC 9110, 10.1.1)."""
        return bool(self.minor) and self.get(b"expect").lower() == b"100-continue"


def parse_head(head: bytes) -> Http1Head:
    """Reads the bytes before the empty line.

    Raises:
        BadRequestError: they are no request head.
    """
    # Clients repeat their heads, so most are known already.
    return _parse_cached(head) if len(head) <= _CACHED_HEAD_BYTES else _parse(head)


def _parse(head: bytes) -> Http1Head:
    first, *lines = head.split(b"\r\n")
    method, target, minor = _request_line(first) if len(first) <= _CACHED_LINE_BYTES else _read_request_line(first)
    if len(lines) > _MAX_FIELDS:
        raise BadRequestError(431, f"there are {len(lines)} header lines; at most {_MAX_FIELDS} are taken")
    headers = tuple([_field_cached(line) if len(line) <= _CACHED_LINE_BYTES else _field(line) for line in lines])
    fields = dict(headers)
    if len(fields) < len(headers):
        fields = _joined(headers)
    if b"host" not in fields and minor:
        raise BadRequestError(400, "the header `host` is missing")
    # RFC 9112, 6.1: where HTTP/1.0 speaks of chunks, somebody on the way did not understand them.
    if not minor and b"transfer-encoding" in fields:
        raise BadRequestError(400, "HTTP/1.0 knows no `transfer-encoding`")
    length, chunked = _body_of(fields)
    return Http1Head(method, target, headers, fields, False, length, chunked, minor, _keep_alive(fields, minor))


def _read_request_line(line: bytes) -> tuple[bytes, bytes, int]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequestError(400, "this is no HTTP/1.1 request")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise BadRequestError(505, "this port speaks HTTP/1.1")
    return method, target, int(minor)


_request_line = lru_cache(maxsize=256)(_read_request_line)


def _joined(headers: Headers) -> dict[bytes, bytes]:
    """The fields where a name stands several times."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        if name == b"host" and name in fields:
            raise BadRequestError(400, "the header `host` stands twice")
        fields[name] = b", ".join((fields[name], value)) if name in fields else value
    return fields


_parse_cached = remembered(_parse, most=1024, secret=lambda head: logs_in(head.headers))


def _field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise BadRequestError(400, f"a header line is not `name: value`: {shown(line)}")
    return match[1].lower(), match[2].rstrip(b" \t")


_field_cached = remembered(_field, most=1024, secret=lambda field: field[0] in SECRET_NAMES)


def _body_of(fields: Mapping[bytes, bytes]) -> tuple[int | None, bool]:
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadRequestError(400, "`content-length` and `transfer-encoding` cannot stand together")
        if coding.lower() != b"chunked":
            raise BadRequestError(501, f"the transfer coding {shown(coding)} is not known; use `chunked`")
        return None, True
    if length is not None and _DIGITS.fullmatch(length) is None:
        raise BadRequestError(400, f"`content-length` is {shown(length)}, which is no length")
    return None if length is None else int(length), False


def _keep_alive(fields: Mapping[bytes, bytes], minor: int) -> bool:
    options = fields.get(b"connection", b"").lower()
    return b"close" not in options if minor else b"keep-alive" in options


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
        if len(data) < self._remaining:
            self._remaining -= len(data)
            return data, None
        length, self._remaining = self._remaining, 0
        return data[:length], data[length:]


class ChunkedBody:
    """A body in chunks; extensions and trailers of it are read and dropped."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0  # bytes are cut off once a call and not once a chunk, since chunks can be tiny
        self._remaining = 0
        self._in_trailers = False
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See `Body`.

        Raises:
            BadRequestError: the bytes are no chunks.
        """
        self._data += data
        parts: list[bytes] = []
        while not self._in_trailers and (self._take(parts) if self._remaining else self._begin()):
            pass
        ended = self._in_trailers and self._skip_trailers()
        rest, self._data, self._at = self._data[self._at :], b"", 0
        if ended:
            return b"".join(parts), rest
        self._data = rest
        return b"".join(parts), None

    def _line(self, max_bytes: int) -> bytes | None:
        """The next line, once all of it is there; it may be longer than allowed."""
        end = self._data.find(b"\r\n", self._at, self._at + max_bytes + 2)
        if end < 0:
            # One more than allowed may still be the half of a line end.
            return self._data[self._at :] if len(self._data) - self._at > max_bytes + 1 else None
        line, self._at = self._data[self._at : end], end + 2
        return line

    def _begin(self) -> bool:
        line = self._line(_MAX_CHUNK_LINE_BYTES)
        if line is None:
            return False
        if len(line) > _MAX_CHUNK_LINE_BYTES:
            raise BadRequestError(400, "the line of a chunk's size is too long")
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise BadRequestError(400, f"{shown(line)} is no size of a chunk")
        size = int(match[1], 16)
        self._remaining, self._in_trailers = size + 2 if size else 0, size == 0
        return True

    def _take(self, parts: list[bytes]) -> bool:
        # The line end behind a chunk counts as two of its bytes, and is taken only as a whole.
        available = min(len(self._data) - self._at, self._remaining - 2)
        if available:
            parts.append(self._data[self._at : self._at + available])
            self._at += available
            self._remaining -= available
        if self._remaining > 2 or len(self._data) - self._at < 2:
            return False
        if not self._data.startswith(b"\r\n", self._at):
            raise BadRequestError(400, "a chunk is longer than its size says")
        self._at += 2
        self._remaining = 0
        return True

    def _skip_trailers(self) -> bool:
        while (line := self._line(_MAX_TRAILER_BYTES)) is not None:
            if not line:
                return True
            self._trailer_bytes += len(line) + 2
            if self._trailer_bytes > _MAX_TRAILER_BYTES:
                raise BadRequestError(431, "the trailers of the request are too long")
            _field(line)  # what is none may be the next request, to somebody who ends the body earlier
        return False


class EndlessBody:
    """All that comes, to the end of the connection: another protocol's bytes."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
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
    return b"HTTP/1.1 %d %b\r\n" % (status, PHRASES[status])
