"""The messages of a gRPC-Web body: a flag byte, four bytes of length, the payload.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
"""

import struct
from collections.abc import Iterable
from typing import Final

HEADER_BYTES: Final = 5
_TRAILERS_FLAG: Final = 0x80
_HEADER: Final = struct.Struct(">BI")


class FramingError(ValueError):
    """A body that is not a sequence of messages."""


class MessageTooLargeError(ValueError):
    """A message longer than allowed."""


class MessageScanner:
    """Follows the message boundaries of a request body, without keeping the bytes."""

    def __init__(self, *, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._remaining = 0
        self._header = b""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes.

        Raises:
            FramingError: a flag that requests cannot have.
            MessageTooLargeError: the length of a message is over the limit.
        """
        position, end = 0, len(data)
        while position < end:
            if self._remaining:
                step = min(self._remaining, end - position)
                self._remaining -= step
            else:
                step = min(HEADER_BYTES - len(self._header), end - position)
                self._begin(data[position : position + step])
            position += step

    def close(self) -> None:
        """The body has ended.

        Raises:
            FramingError: it ended inside a message.
        """
        if self._remaining or self._header:
            raise FramingError("the request body ends inside a message; send all of it")

    def _begin(self, part: bytes) -> None:
        self._header += part
        if len(self._header) < HEADER_BYTES:
            return
        flags, length = _HEADER.unpack(self._header)
        self._header = b""
        if flags > 1:
            raise FramingError(f"a message of the request has the flags {flags:#04x}; only 0x00 and 0x01 are known")
        if length > self._max_message_bytes:
            raise MessageTooLargeError(
                f"a message of the request has {length} bytes; at most {self._max_message_bytes} are taken"
            )
        self._remaining = length


def trailers_frame(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The last frame of a body: the trailers as `name: value` lines."""
    payload = b"".join([b"%b: %b\r\n" % pair for pair in trailers])
    return _HEADER.pack(_TRAILERS_FLAG, len(payload)) + payload
