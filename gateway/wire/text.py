"""The text mode of gRPC-Web: the body in base64, padded wherever the sender likes."""

import binascii
import re
from typing import Final

from troupe.gateway.wire.framing import FramingError

_PADDED_GROUPS: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


def encode_text(data: bytes) -> bytes:
    """A piece of a body; pieces are encoded, and padded, each for itself."""
    return binascii.b2a_base64(data, newline=False)


class TextDecoder:
    """Decodes a body in pieces of any length."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What the next characters decode to, up to the last whole group of four.

        Raises:
            FramingError: they are not base64.
        """
        data = self._rest + data
        whole = len(data) - len(data) % 4
        self._rest = data[whole:]
        return _decode(data[:whole])

    def close(self) -> bytes:
        """The body has ended; what is left may lack its padding.

        Raises:
            FramingError: one character is left over.
        """
        rest, self._rest = self._rest, b""
        return _decode(rest + b"=" * (-len(rest) % 4))


def _decode(data: bytes) -> bytes:
    try:
        if b"=" not in data:
            return binascii.a2b_base64(data, strict_mode=True)
        return b"".join([binascii.a2b_base64(part, strict_mode=True) for part in _runs(data)])
    except binascii.Error as error:
        raise FramingError(f"the request body is not base64: {error}") from None


def _runs(data: bytes) -> list[bytes]:
    """The parts that end in padding, of which each is base64 in itself."""
    runs = _PADDED_GROUPS.findall(data)
    lengths = [len(run) for run in runs]
    if sum(lengths) != len(data):
        raise binascii.Error("unexpected characters")
    if any(length % 4 for length in lengths):
        raise binascii.Error("padding in the middle of a group of four")
    return runs
