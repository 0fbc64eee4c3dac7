"""Headers and trailers, carried from the client's HTTP to gRPC and back.

Metadata passes as it is, `-bin` values included: they are base64 in both protocols.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from troupe.gateway.wire import hpack_blocks, percent, status
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.remembering import SECRET_NAMES, logs_in, remembered
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.status_details import StatusDetail, read_details

# Of the connection between browser and gateway, or of the browser itself: no metadata of the call.
_NOT_FORWARDED: Final = frozenset(
    b"accept accept-charset accept-encoding accept-language cache-control connection content-encoding content-length "
    b"content-type dnt expect forwarded grpc-timeout host http2-settings if-modified-since if-none-match keep-alive "
    b"origin pragma priority proxy-authorization proxy-connection range referer save-data te trailer transfer-encoding "
    b"upgrade upgrade-insecure-requests via x-grpc-web x-request-id".split()
)
_NOT_FORWARDED_PREFIXES: Final = (b"sec-", b"access-control-", b"connect-")
_NOT_RETURNED: Final = frozenset(
    b"connection content-encoding content-length content-type date keep-alive proxy-connection server te trailer "
    b"transfer-encoding upgrade vary x-request-id".split()
)
_HTTP_STATUS: Final = re.compile(rb"[0-9]{3}")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")


def request_block(head: RequestHead, path: bytes, own: Headers, authority: bytes) -> bytes:
    """The header block of a call, but for its request id: `own` stands for what the client says under these names."""
    known = SECRET_NAMES.isdisjoint(head.fields)
    return (_request_block_cached if known else _request_block)(head, path, own, authority)


def _request_block(head: RequestHead, path: bytes, own: Headers, authority: bytes) -> bytes:
    beginning, owned = _beginning(path, own, authority)
    return beginning + b"".join(
        [
            (_forward if name in SECRET_NAMES else _forwarded)(name, value)
            for name, value in head.headers
            if name not in owned
        ]
    )


_request_block_cached = lru_cache(maxsize=256)(_request_block)


@lru_cache(maxsize=1024)
def _beginning(path: bytes, own: Headers, authority: bytes) -> tuple[bytes, frozenset[bytes]]:
    block = hpack_blocks.encode([(b":path", path), (b":authority", authority), *own])
    return hpack_blocks.METHOD_POST + hpack_blocks.SCHEME_HTTP + block, frozenset([name for name, _ in own])


def _forward(name: bytes, value: bytes) -> bytes:
    if name in _NOT_FORWARDED or name.startswith(_NOT_FORWARDED_PREFIXES):
        return b""
    return hpack_blocks.encode([(name, value)])


# Heads differ, by a token or a trace; most of their lines do not.
_forwarded = lru_cache(maxsize=1024)(_forward)


@dataclass(frozen=True, slots=True)
class GrpcStatus:
    """How a call ended: the reserved trailers."""

    code: bytes
    pairs: Headers
    """`grpc-status`, `grpc-message` and `grpc-status-details-bin`, where they are there."""
    own: bool = False
    """Whether the gateway says so and not the backend, which may have stopped anywhere."""

    @property
    def error_code(self) -> Code:
        """The code of a status that is not OK; what is no code is UNKNOWN."""
        return status.code_of(self.code) or Code.UNKNOWN

    @property
    def message(self) -> str:
        """What is wrong, for people."""
        return percent.decode(dict(self.pairs).get(b"grpc-message", b""))

    @property
    def details(self) -> tuple[StatusDetail, ...]:
        """What is wrong, for programs."""
        return read_details(dict(self.pairs).get(b"grpc-status-details-bin", b""))

    def without_details(self) -> "GrpcStatus":
        """The same, for clients that cannot know what the details mean."""
        pairs = tuple([pair for pair in self.pairs if pair[0] != b"grpc-status-details-bin"])
        return GrpcStatus(self.code, pairs, self.own)


@dataclass(frozen=True, slots=True, eq=False)
class ResponseBlock:
    """A header block of a backend, sorted by meaning."""

    http_status: int
    is_grpc: bool
    metadata: Headers
    """What the client gets, without the status."""
    status: GrpcStatus | None

    @property
    def informational(self) -> bool:
        """Whether it only precedes the real one."""
        return 100 <= self.http_status < 200


def read_response(headers: Headers) -> ResponseBlock:
    """Sorts the headers, or the trailers, of a backend's answer; what HTTP/1.1 could not carry is left out."""
    return _read_response(headers)


def _read(headers: Headers) -> ResponseBlock:
    http_status, is_grpc = 0, False
    metadata: list[tuple[bytes, bytes]] = []
    reserved: list[tuple[bytes, bytes]] = []
    for name, value_as_sent in headers:
        value = value_as_sent.strip(b" \t")  # clients may end a whole connection over blanks (RFC 9113, 8.2.1)
        if name == b":status":
            http_status = int(value) if _HTTP_STATUS.fullmatch(value) else 0
        elif name == b"content-type":
            is_grpc = value.startswith(b"application/grpc")
        elif name == b"grpc-message":
            reserved.append((name, percent.without_outer_blanks(value_as_sent)))
        elif name in (b"grpc-status", b"grpc-status-details-bin"):
            reserved.append((name, value))
        elif _returned(name) and _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            metadata.append((name, value))
    return ResponseBlock(http_status, is_grpc, tuple(metadata), _status_of(reserved))


_read_response = remembered(_read, most=1024, secret=lambda block: logs_in(block.metadata))


def missing_status(block: ResponseBlock) -> GrpcStatus:
    """The status of an answer that brought none."""
    if block.http_status not in (0, 200):
        message = f"the backend answered HTTP {block.http_status} instead of gRPC"
        return grpc_status(status.of_http(block.http_status), message)
    return grpc_status(Code.UNKNOWN, "the backend ended the call without a gRPC status")


def grpc_status(code: Code, message: str, details: bytes = b"") -> GrpcStatus:
    """A status of the gateway's own; `details` is base64."""
    number = b"%d" % code
    pairs = [(b"grpc-status", number), (b"grpc-message", percent.encode(message))]
    if details:
        pairs.append((b"grpc-status-details-bin", details))
    return GrpcStatus(number, tuple(pairs), own=True)


def _returned(name: bytes) -> bool:
    return name not in _NOT_RETURNED and not name.startswith(b"access-control-")


def _status_of(reserved: Iterable[tuple[bytes, bytes]]) -> GrpcStatus | None:
    pairs = tuple([pair for pair in reserved if _VALUE.fullmatch(pair[1])])
    code = next((value for name, value in pairs if name == b"grpc-status"), None)
    return None if code is None else GrpcStatus(code, pairs)
