"""Reads header blocks. RFC 7541.

The strings of headers repeat from request to request even where whole blocks do not, so each is unpacked once; that is
what makes this some ten times as fast as other decoders where a block leans on no dynamic table.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from troupe.gateway.wire.hpack_blocks import MAX_HEADER_LIST_BYTES, HeaderBlockError, Headers
from troupe.gateway.wire.remembering import SECRET_NAMES, logs_in, remembered

_STATIC: Final[Headers] = ((b"", b""), *HeaderTable.STATIC_TABLE)
FIELD_OVERHEAD_BYTES: Final = 32  # RFC 9113, 6.5.2
_CACHED_STRING_BYTES: Final = 512
_CACHED_BLOCK_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class FieldBlock:
    """What a block says."""

    headers: Headers | None
    """None where they are too many: the block is read to its end all the same, for the table's sake."""
    list_bytes: int
    """The size of the list as RFC 9113 counts it."""
    fills_table: bool
    """Whether fields are to be put into a table, if there is one."""
    table_bytes: int | None
    """How large the peer makes the table in the end; None when it says nothing."""
    most_table_bytes: int
    """How large it makes it at most."""


class TableNeededError(HeaderBlockError):
    """The block names a field that would stand in a dynamic table."""


def read(block: bytes, table: HeaderTable | None = None) -> FieldBlock:
    """Takes a block apart; `table` is what it may lean on, and is kept up to date.

    Raises:
        TableNeededError: it leans on a dynamic table, and there is none.
        HeaderBlockError: it is broken.
    """
    fields: list[tuple[bytes, bytes]] = []
    position, end, list_bytes = 0, len(block), 0
    fills_table, table_bytes, most_table_bytes = False, None, 0
    try:
        while position < end:
            first = block[position]
            if first & 0x80:
                index, position = _integer(block, position, 0x7F)
                field = _indexed(index, table)
            elif first & 0xE0 == 0x20:
                if list_bytes:
                    raise HeaderBlockError("the size of the table changes behind a field")
                table_bytes, position = _integer(block, position, 0x1F)
                most_table_bytes = max(most_table_bytes, table_bytes)
                if table is not None:
                    table.maxsize = table_bytes
                continue
            else:
                fills_table = fills_table or first >= 0x40
                index, position = _integer(block, position, 0x3F if first >= 0x40 else 0x0F)
                name, position = (_indexed(index, table)[0], position) if index else _string(block, position)
                value, position = _string(block, position, secret=name in SECRET_NAMES)
                field = name, value
                if table is not None and first >= 0x40:
                    table.add(name, value)
            list_bytes += len(field[0]) + len(field[1]) + FIELD_OVERHEAD_BYTES
            if list_bytes <= MAX_HEADER_LIST_BYTES:
                fields.append(field)
    except IndexError:
        raise HeaderBlockError("a header block ends inside a field") from None
    headers = tuple(fields) if list_bytes <= MAX_HEADER_LIST_BYTES else None
    return FieldBlock(headers, list_bytes, fills_table, table_bytes, most_table_bytes)


def decode(block: bytes) -> Headers | None:
    """The headers of a block of a peer that was told to use no dynamic table; None where they are too many.

    Equal blocks may give the same object.

    Raises:
        HeaderBlockError: the block is broken, or leans on a table.
    """
    return _decode_cached(block) if len(block) <= _CACHED_BLOCK_BYTES else _decode(block)


def _decode(block: bytes) -> Headers | None:
    fields = read(block)
    if fields.most_table_bytes:
        raise HeaderBlockError("the table is made larger than it may be")
    return fields.headers


_decode_cached = remembered(_decode, most=1024, secret=lambda headers: headers is not None and logs_in(headers))


def _indexed(index: int, table: HeaderTable | None) -> tuple[bytes, bytes]:
    if not index:
        raise HeaderBlockError("no field has the index 0")
    if index < len(_STATIC):
        return _STATIC[index]
    if table is None:
        raise TableNeededError(f"no field has the index {index}")
    try:
        name, value = table.get_by_index(index)
    except HPACKError as error:
        raise HeaderBlockError(str(error)) from None
    return name, value


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


def _string(block: bytes, position: int, *, secret: bool = False) -> tuple[bytes, int]:
    packed = block[position] & 0x80
    length, position = _integer(block, position, 0x7F)
    following = position + length
    if following > len(block):
        raise HeaderBlockError("a header block ends inside a string")
    text = block[position:following]
    if packed:
        text = _unpack(text) if secret or length > _CACHED_STRING_BYTES else _unpack_cached(text)
    return text, following


def _unpack(text: bytes) -> bytes:
    try:
        return decode_huffman(text)
    except HPACKError as error:
        raise HeaderBlockError(str(error)) from None


_unpack_cached = lru_cache(maxsize=4096)(_unpack)
