"""What every call of the Connect protocol has: its version, its deadline, its compressions, its codec.

https://connectrpc.com/docs/protocol/
"""

import re
from dataclasses import dataclass
from typing import Final, Protocol

from troupe.gateway.wire import compression
from troupe.gateway.wire.connect_errors import Describe
from troupe.gateway.wire.dialect import Opening, RequestError, ResponseError
from troupe.gateway.wire.framing import MessageCutter, MessageLimitError, MessageTooLargeError
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.shown import shown
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.timeout import TimeoutFormatError

_TIMEOUT: Final = re.compile(rb"[0-9]{1,10}")
_MAX_GRPC_TIMEOUT_MS: Final = 10**8 - 1
_OF_GRPC: Final = frozenset((b"grpc-encoding", b"grpc-accept-encoding"))


class Codec(Protocol):
    """What the client's messages are, where they are not protobuf as the backend's are."""

    def check(self) -> None:
        """Says whether messages can be translated, before there are any.

        Raises:
            RequestError: they cannot.
        """
        ...

    def request(self, message: bytes) -> bytes:
        """The message in protobuf.

        Raises:
            RequestError: it is no such message.
        """
        ...

    def response(self, message: bytes) -> bytes:
        """The message for the client.

        Raises:
            ResponseError: it cannot be translated.
        """
        ...


@dataclass(frozen=True, slots=True)
class ConnectTerms:
    """What holds for calls of a method."""

    max_message_bytes: int
    """Of a request's message, compressed or not."""
    max_response_bytes: int
    """Of a message of a response that cannot pass piece by piece."""
    describe: Describe


def check_version(version: bytes, wanted: bytes, name: str) -> None:
    """Checks the version, where the client says one.

    Raises:
        RequestError: it is another.
    """
    if version not in (b"", wanted):
        raise RequestError(f"`{name}` is {shown(version)}; the version here is {shown(wanted)}")


def is_gzip(encoding: bytes, name: str) -> bool:
    """Whether messages are compressed, or may be.

    Raises:
        RequestError: in a way that is not known here.
    """
    if encoding == compression.GZIP:
        return True
    if encoding in (b"", compression.IDENTITY):
        return False
    raise RequestError(f"`{name}` is {shown(encoding)}; the supported ones are gzip and identity", Code.UNIMPLEMENTED)


def opening(*, timeout_ms: bytes, codec: Codec | None, request_gzip: bool, accepts_gzip: bool) -> Opening:
    """What a call asks of the backend; messages that are translated are not compressed there.

    Raises:
        TimeoutFormatError: the timeout is none.
    """
    verbatim = codec is None
    headers: list[tuple[bytes, bytes]] = [
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc+proto"),
        (b"grpc-encoding", compression.GZIP if verbatim and request_gzip else compression.IDENTITY),
        (b"grpc-accept-encoding", compression.GZIP if verbatim and accepts_gzip else compression.IDENTITY),
    ]
    if not timeout_ms:
        return Opening(tuple(headers), None)
    if _TIMEOUT.fullmatch(timeout_ms) is None:
        raise TimeoutFormatError(f"`connect-timeout-ms` is {shown(timeout_ms)}; it must be 1 to 10 digits")
    milliseconds = int(timeout_ms)
    headers.append((b"grpc-timeout", _grpc_timeout(milliseconds)))
    return Opening(tuple(headers), milliseconds / 1000)


def split_encoding(metadata: Headers) -> tuple[bytes, Headers]:
    """How the backend compresses, and the headers that have a meaning in Connect."""
    encoding = next((value for name, value in metadata if name == b"grpc-encoding"), b"")
    return encoding, tuple([pair for pair in metadata if pair[0] not in _OF_GRPC])


def decompress_request(message: bytes, max_bytes: int) -> bytes:
    """The message of a request.

    Raises:
        RequestError: it is no gzip, or too long.
    """
    try:
        return compression.decompress(message, max_bytes)
    except compression.CompressionError as error:
        raise RequestError(f"a message of the request is said to be gzip: {error}") from None
    except compression.DecompressedTooLargeError as error:
        raise MessageTooLargeError(f"a message of the request has {error}") from None


def decompress_response(message: bytes, encoding: bytes, max_bytes: int) -> bytes:
    """The message of a response.

    Raises:
        ResponseError: it is no gzip, or too long.
    """
    if encoding != compression.GZIP:
        raise ResponseError(f"the backend compressed a message in a way that nobody asked for: {shown(encoding)}")
    try:
        return compression.decompress(message, max_bytes)
    except compression.CompressionError as error:
        raise ResponseError(f"the backend says that a message is gzip: {error}") from None
    except compression.DecompressedTooLargeError as error:
        raise response_too_large(f"a message of the response has {error}") from None


def cut_response(cutter: MessageCutter, data: bytes) -> list[tuple[int, bytes]]:
    """The messages of a response that are whole with the next bytes.

    Raises:
        ResponseError: one is too long.
    """
    try:
        return cutter.feed(data)
    except MessageLimitError as error:
        raise response_too_large(f"a message of the response has {error}") from None


def response_too_large(message: str) -> ResponseError:
    """The error of a response over the limit."""
    return ResponseError(f"{message}; the gateway's setting `max_response_bytes` is the limit", Code.RESOURCE_EXHAUSTED)


def _grpc_timeout(milliseconds: int) -> bytes:
    if milliseconds <= _MAX_GRPC_TIMEOUT_MS:
        return b"%dm" % milliseconds
    return b"%dS" % (milliseconds // 1000)
