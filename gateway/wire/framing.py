"""The messages of a gRPC or gRPC-Web body: a flag byte, four bytes of length, the payload.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
"""

import struct
from collections.abc import Iterable
from typing import Final

from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.status import Code

HEADER_BYTES: Final = 5
TRAILERS_FLAG: Final = 0x80
_MAX_HEADERS_A_PIECE: Final = 16
_LENGTH: Final = struct.Struct(">I")
HEADER: Final = struct.Struct(">BI")


class FramingError(RequestError):
    """A body that is not a sequence of messages."""


class MessageTooLargeError(RequestError):
    """A message longer than allowed."""

    code = Code.RESOURCE_EXHAUSTED


class MessageCountError(RequestError):
    """Not the one message that the method takes."""

    code = Code.UNIMPLEMENTED


class UnexpectedCompressionError(RequestError):
    """A compressed message, where nothing said how it is compressed."""

    code = Code.INTERNAL


class MessageScanner:
    """Follows the message boundaries of a request body, without keeping the bytes."""

    def __init__(self, *, max_message_bytes: int, single: bool = False) -> None:
        self.compressible = True
        """Whether messages may be compressed."""
        self._max_message_bytes = max_message_bytes
        self._single = single
        self._count = 0
        self._remaining = 0
        self._header = b""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes.

        Raises:
            FramingError: a flag that requests cannot have.
            MessageTooLargeError: the length of a message is over the limit.
            MessageCountError: a second message, where the method takes one.
            UnexpectedCompressionError: a compressed message that cannot be one.
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
            MessageCountError: it had no message, where the method takes one.
        """
        if self._remaining or self._header:
            raise FramingError("the request body ends inside a message; send all of it")
        if self._single and not self._count:
            raise MessageCountError("the request body has no message; this method takes one")

    def _begin(self, part: bytes) -> None:
        self._header += part
        if len(self._header) < HEADER_BYTES:
            return
        flags, length = HEADER.unpack(self._header)
        self._header = b""
        if flags > 1:
            raise FramingError(f"a message of the request has the flags {flags:#04x}; only 0x00 and 0x01 are known")
        if flags and not self.compressible:
            raise UnexpectedCompressionError(
                "a message of the request is compressed, but the headers of the request do not say how"
            )
        if length > self._max_message_bytes:
            raise MessageTooLargeError(
                f"a message of the request has {length} bytes; at most {self._max_message_bytes} are taken"
            )
        self._count += 1
        if self._single and self._count > 1:
            raise MessageCountError("the request body has a second message; this method takes one")
        self._remaining = length


class MessageBoundary:
    """Knows whether a body that passes as it is stands between two messages, so that a frame of our own may follow.

    It looks at a bounded number of headers in each piece: in a flood of tiny messages it gives up.
    """

    __slots__ = ("_header", "_lost", "_remaining")

    def __init__(self) -> None:
        self._remaining = 0
        self._header = b""
        self._lost = False

    @property
    def reached(self) -> bool:
        """Whether the last message is whole, for certain."""
        return not (self._remaining or self._header or self._lost)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        if self._lost:
            return
        if self._header:
            data, self._header = self._header + data, b""
        position, last = self._remaining, len(data) - HEADER_BYTES
        for _ in range(_MAX_HEADERS_A_PIECE):
            if position > last:
                break
            position += HEADER_BYTES + _LENGTH.unpack_from(data, position + 1)[0]
        self._lost = position <= last
        self._remaining = max(0, position - len(data))
        self._header = data[position:]


class MessageLimitError(ValueError):
    """A message to be cut out is longer than it may be; the limit depends on who sent it."""


class MessageCutter:
    """Cuts a body into its messages."""

    def __init__(self, *, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> list[tuple[int, bytes]]:
        """The messages that are whole with the next bytes, and their flags.

        Raises:
            MessageLimitError: a message is too long, by what its header says.
        """
        buffer = self._buffer
        buffer += data
        messages: list[tuple[int, bytes]] = []
        position = 0
        while len(buffer) - position >= HEADER_BYTES:
            flags, length = HEADER.unpack_from(buffer, position)
            if length > self._max_message_bytes:
                raise MessageLimitError(f"{length} bytes; at most {self._max_message_bytes} are taken")
            end = position + HEADER_BYTES + length
            if end > len(buffer):
                break
            messages.append((flags, bytes(memoryview(buffer)[position + HEADER_BYTES : end])))
            position = end
        del buffer[:position]
        return messages


def message_frame(message: bytes, *, compressed: bool = False) -> bytes:
    """A message with its header."""
    return HEADER.pack(compressed, len(message)) + message


def trailers_frame(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The last frame of a gRPC-Web body: the trailers as `name: value` lines."""
    payload = b"".join([b"%b: %b\r\n" % pair for pair in trailers])
    return HEADER.pack(TRAILERS_FLAG, len(payload)) + payload
