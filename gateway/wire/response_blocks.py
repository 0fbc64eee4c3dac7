"""Header blocks for HTTP/2 clients, without a dynamic table. RFC 7541."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.remembering import SECRET_NAMES

_STATUS_200: Final = b"\x88"  # of the static table


def encode(status: int, headers: Iterable[tuple[bytes, bytes]], length: int | None = None) -> bytes:
    """The head of a response; headers that only HTTP/1.1 has are left out."""
    parts = [_status(status), *[_field(name, value) for name, value in headers]]
    if length is not None and status not in (204, 304):
        parts.append(_field(b"content-length", b"%d" % length))
    return b"".join(parts)


def encode_trailers(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The trailers of a response."""
    return b"".join([_field(name, value) for name, value in trailers])


@lru_cache(maxsize=64)
def _status(status: int) -> bytes:
    return _STATUS_200 if status == 200 else hpack_blocks.encode([(b":status", b"%d" % status)])


# Most headers of a response are those of all the others; only ids are not.
def _field(name: bytes, value: bytes) -> bytes:
    return (_encode if name in SECRET_NAMES else _encoded)(name, value)


def _encode(name: bytes, value: bytes) -> bytes:
    return b"" if name in http2.OF_CONNECTIONS else hpack_blocks.encode([(name, value)])


_encoded = lru_cache(maxsize=1024)(_encode)
