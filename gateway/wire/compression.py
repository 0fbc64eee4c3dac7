"""gzip, the one compression besides none that is known everywhere."""

import re
import zlib
from typing import Final

GZIP: Final = b"gzip"
IDENTITY: Final = b"identity"
# Smaller bodies gain nothing; larger ones would hold up every other call while they are compressed.
_WORTH_BYTES: Final = range((1 << 10) + 1, (1 << 20) + 1)
_LEVEL: Final = 1
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_ACCEPTED: Final = re.compile(
    rb"[ \t]*(?:gzip|\*)[ \t]*(?:;[ \t]*q=(?:1(?:\.0*)?|0\.0*[1-9][0-9]*)[ \t]*)?", re.IGNORECASE
)


class CompressionError(ValueError):
    """Bytes that are no gzip."""


class DecompressedTooLargeError(ValueError):
    """More comes out than is allowed."""


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether an `accept-encoding` names gzip."""
    return any(_ACCEPTED.fullmatch(part) for part in accept_encoding.split(b","))


def is_worth_compressing(data: bytes) -> bool:
    """Whether less bytes on the wire are worth the time."""
    return len(data) in _WORTH_BYTES


def compress(data: bytes) -> bytes:
    """The data in gzip."""
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP_WINDOW)
    return compressor.compress(data) + compressor.flush()


def decompress(data: bytes, max_bytes: int) -> bytes:
    """What is in a gzip file of one member; never makes more than `max_bytes` of it.

    Nothing comes of nothing: an empty message is not compressed, whatever its headers say.

    Raises:
        CompressionError: the data is no such file.
        DecompressedTooLargeError: there is more in it.
    """
    if not data:
        return b""
    decompressor = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        unpacked = decompressor.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise CompressionError(f"these bytes are no gzip: {error}") from None
    if len(unpacked) > max_bytes:
        raise DecompressedTooLargeError(f"more than {max_bytes} bytes when it is decompressed")
    if not decompressor.eof:
        raise CompressionError("the gzip data ends too early")
    # Files of many members would be slow to read, and nobody sends them.
    if decompressor.unused_data:
        raise CompressionError("bytes follow the gzip data")
    return unpacked
