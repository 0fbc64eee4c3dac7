"""Streams of the Connect protocol: the messages of gRPC, and a last one that says how the call ended.

https://connectrpc.com/docs/protocol/#streaming-rpcs
"""

from typing import Any, ClassVar, Final

from troupe.gateway.wire import compression
from troupe.gateway.wire.connect import (
    Codec,
    ConnectTerms,
    check_version,
    cut_response,
    decompress_request,
    decompress_response,
    is_gzip,
    opening,
    split_encoding,
)
from troupe.gateway.wire.connect_errors import error_object, to_json
from troupe.gateway.wire.connect_media import ConnectMedia
from troupe.gateway.wire.dialect import Ending, Opening, ResponseHead
from troupe.gateway.wire.framing import HEADER, MessageBoundary, MessageCutter, MessageScanner, message_frame
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead

_OK: Final = b"0"
_END_STREAM: Final = 2
_ACCEPTED: Final = (b"connect-accept-encoding", compression.GZIP)


class ConnectStream:
    """A call whose messages pass as they are."""

    name: ClassVar[str] = "connect"

    __slots__ = ("_boundary", "_codec", "_content_type", "_encoding", "_head", "_scanner", "_terms")

    def __init__(
        self,
        head: RequestHead,
        media: ConnectMedia,
        codec: Codec | None,
        terms: ConnectTerms,
        *,
        scanner: MessageScanner,
    ) -> None:
        self._head = head
        self._content_type = (b"content-type", media.content_type)
        self._codec = codec
        self._terms = terms
        self._scanner = scanner
        self._encoding = b""
        self._boundary = MessageBoundary()

    def open(self) -> Opening:
        if self._codec is not None:
            self._codec.check()
        check_version(self._head.get(b"connect-protocol-version"), b"1", "connect-protocol-version")
        request_gzip = is_gzip(self._head.get(b"connect-content-encoding"), "connect-content-encoding")
        self._scanner.compressible = request_gzip
        return opening(
            timeout_ms=self._head.get(b"connect-timeout-ms"),
            codec=self._codec,
            request_gzip=request_gzip,
            accepts_gzip=compression.accepts_gzip(self._head.get(b"connect-accept-encoding")),
        )

    def request(self, data: bytes) -> bytes:
        self._scanner.feed(data)
        return data

    def request_end(self) -> bytes:
        self._scanner.close()
        return b""

    def begin(self, metadata: Headers) -> ResponseHead | None:
        self._encoding, leading = split_encoding(metadata)
        return ResponseHead(200, (self._content_type, _ACCEPTED, *self._response_encoding(), *leading))

    def response(self, data: bytes) -> bytes:
        self._boundary.feed(data)
        return data

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        if outcome.own and not self._boundary.reached:
            return Ending(None, broken=True)
        end: dict[str, Any] = {}
        if outcome.code != _OK:
            end["error"] = error_object(outcome, self._terms.describe)
        if metadata := _metadata_object(split_encoding(trailers)[1]):
            end["metadata"] = metadata
        message = to_json(end)
        frame = HEADER.pack(_END_STREAM, len(message)) + message
        return Ending(None if started else ResponseHead(200, (self._content_type, _ACCEPTED)), frame)

    def _response_encoding(self) -> Headers:
        return ((b"connect-content-encoding", self._encoding),) if self._encoding else ()


class ConnectTranslatedStream(ConnectStream):
    """A call whose messages are translated one by one."""

    __slots__ = ("_requests", "_responses", "_translation")

    def __init__(
        self, head: RequestHead, media: ConnectMedia, codec: Codec, terms: ConnectTerms, *, scanner: MessageScanner
    ) -> None:
        super().__init__(head, media, codec, terms, scanner=scanner)
        self._translation = codec
        # The scanner has looked at the lengths of the request's messages.
        self._requests = MessageCutter(max_message_bytes=terms.max_message_bytes)
        self._responses = MessageCutter(max_message_bytes=terms.max_response_bytes)

    def request(self, data: bytes) -> bytes:
        messages = self._requests.feed(super().request(data))
        return b"".join([self._request_message(flags, message) for flags, message in messages])

    def response(self, data: bytes) -> bytes:
        messages = cut_response(self._responses, data)
        return b"".join([self._response_message(flags, message) for flags, message in messages])

    def _request_message(self, flags: int, message: bytes) -> bytes:
        if flags:
            message = decompress_request(message, self._terms.max_message_bytes)
        return message_frame(self._translation.request(message))

    def _response_message(self, flags: int, message: bytes) -> bytes:
        if flags:
            message = decompress_response(message, self._encoding, self._terms.max_response_bytes)
        return message_frame(self._translation.response(message))

    def _response_encoding(self) -> Headers:
        return ()


def _metadata_object(trailers: Headers) -> dict[str, list[str]]:
    metadata: dict[str, list[str]] = {}
    for name, value in trailers:
        metadata.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return metadata
