"""Header blocks without a dynamic table: equal headers give equal blocks, so both ways can be remembered. RFC 7541."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from hpack import Decoder, HPACKError

Headers = tuple[tuple[bytes, bytes], ...]

MAX_HEADER_LIST_BYTES: Final = 64 << 10
METHOD_POST: Final = b"\x83"
SCHEME_HTTP: Final = b"\x86"
_CACHED_BLOCK_BYTES: Final = 2048


class HeaderBlockError(ValueError):
    """A header block that cannot be decoded."""


def encode(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The headers as literals that no table keeps."""
    return b"".join([b"\x00" + _string(name) + _string(value) for name, value in headers])


def decode(block: bytes) -> Headers:
    """The headers of a block of a peer that was told to use no dynamic table.

    Equal blocks may give the same object.

    Raises:
        HeaderBlockError: the block is broken, or too long when it is unpacked.
    """
    return _decode_cached(block) if len(block) <= _CACHED_BLOCK_BYTES else _decode(block)


def _decode(block: bytes) -> Headers:
    decoder = Decoder(max_header_list_size=MAX_HEADER_LIST_BYTES)
    decoder.max_allowed_table_size = 0
    decoder.header_table_size = 0
    try:
        return tuple([(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)])
    except HPACKError as error:
        raise HeaderBlockError(str(error)) from None


_decode_cached = lru_cache(maxsize=1024)(_decode)


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
