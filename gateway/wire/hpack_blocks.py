"""Writes header blocks without a dynamic table: equal headers give equal blocks, which can be kept. RFC 7541."""

from collections.abc import Iterable
from typing import Final

from troupe.gateway.wire.remembering import SECRET_NAMES

Headers = tuple[tuple[bytes, bytes], ...]
"""Names, in lower case, and values, in order."""

MAX_HEADER_LIST_BYTES: Final = 64 << 10
METHOD_POST: Final = b"\x83"
SCHEME_HTTP: Final = b"\x86"


class HeaderBlockError(ValueError):
    """A header block that cannot be decoded."""


def encode(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The headers as literals that no table keeps; secret ones say that nobody on the way may (RFC 7541, 7.1.3)."""
    return b"".join(
        [(b"\x10" if name in SECRET_NAMES else b"\x00") + _string(name) + _string(value) for name, value in headers]
    )


def _string(value: bytes) -> bytes:
    length = len(value)
    if length < 0x7F:
        return b"%c%b" % (length, value)
    prefix, rest = bytearray(b"\x7f"), length - 0x7F
    while rest >= 0x80:
        prefix.append(rest & 0x7F | 0x80)
        rest >>= 7
    prefix.append(rest)
    return bytes(prefix) + value
