"""Percent-encoding of `grpc-message`.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses
"""

from typing import Final
from urllib.parse import unquote_to_bytes

_ENCODED: Final = [bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in range(256)]
_BLANKS: Final = b" \t"


def encode(message: str) -> bytes:
    """The message in printable ASCII."""
    return without_outer_blanks(b"".join([_ENCODED[byte] for byte in message.encode("utf-8", "replace")]))


def without_outer_blanks(value: bytes) -> bytes:
    """The same message where no header may begin or end in a blank (RFC 9113, 8.2.1): it has to equal the details'."""
    inner = value.strip(_BLANKS)
    if inner == value:
        return value
    before, _, behind = value.partition(inner) if inner else (value, b"", b"")
    return b"".join([b"%%%02X" % byte for byte in before]) + inner + b"".join([b"%%%02X" % byte for byte in behind])


def decode(value: bytes) -> str:
    """The message again; what is not encoded properly stays as it is."""
    return unquote_to_bytes(value).decode("utf-8", "replace")
