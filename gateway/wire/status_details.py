"""`grpc-status-details-bin`: a serialized `google.rpc.Status`, of which only the details are read.

https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto
https://protobuf.dev/programming-guides/encoding/
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_STATUS_DETAILS: Final = 3
_ANY_TYPE_URL: Final = 1
_ANY_VALUE: Final = 2
_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH_DELIMITED: Final = 2
_FIXED32: Final = 5
_MAX_VARINT_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class StatusDetail:
    """A `google.protobuf.Any` of a status."""

    type_name: str
    """Such as `google.rpc.ErrorInfo`."""
    value: bytes


class _MalformedError(ValueError):
    """Bytes that are no message."""


def read_details(header: bytes) -> tuple[StatusDetail, ...]:
    """The details in the header's base64; none where they cannot be read, since the status counts without them."""
    try:
        status = binascii.a2b_base64(header.rstrip(b"=") + b"=" * (-len(header.rstrip(b"=")) % 4), strict_mode=True)
        return tuple([_detail(value) for number, value in _byte_fields(status) if number == _STATUS_DETAILS])
    except (binascii.Error, _MalformedError):
        return ()


def _detail(message: bytes) -> StatusDetail:
    fields = dict(_byte_fields(message))
    url = fields.get(_ANY_TYPE_URL, b"").decode("utf-8", "replace")
    return StatusDetail(url.rpartition("/")[2], fields.get(_ANY_VALUE, b""))


def _byte_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The strings, bytes and messages in a message, by their numbers."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(message, position)
        elif kind == _LENGTH_DELIMITED:
            length, start = _varint(message, position)
            position = start + length
            if position <= len(message):
                yield tag >> 3, message[start:position]
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        else:
            raise _MalformedError(f"wire type {kind}")
    if position > len(message):
        raise _MalformedError("a field ends behind the message")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise _MalformedError("a varint without an end")
