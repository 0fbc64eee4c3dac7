"""Calls of one message each way in the Connect protocol: the bodies of HTTP are the messages.

https://connectrpc.com/docs/protocol/#unary-request
"""

from typing import ClassVar, Final

from troupe.gateway.wire import compression, status
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
from troupe.gateway.wire.connect_media import CODECS, ConnectMedia, ConnectQuery
from troupe.gateway.wire.dialect import Ending, Opening, RequestError, ResponseError, ResponseHead
from troupe.gateway.wire.framing import MessageCutter, MessageTooLargeError, message_frame
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown
from troupe.gateway.wire.status import Code

_OK: Final = b"0"
_ERROR_TYPE: Final = (b"content-type", b"application/json")


class ConnectUnary:
    """A call by POST."""

    name: ClassVar[str] = "connect"

    __slots__ = (
        "_accepts_gzip", "_body", "_codec", "_cutter", "_encoding", "_head", "_leading", "_media", "_messages",
        "_request_gzip", "_served", "_terms",
    )  # fmt: skip

    def __init__(self, head: RequestHead, media: ConnectMedia, codec: Codec | None, terms: ConnectTerms) -> None:
        self._head = head
        self._media = media
        self._codec = codec
        self._terms = terms
        self._served = False
        self._request_gzip = False
        self._accepts_gzip = compression.accepts_gzip(head.get(b"accept-encoding"))
        self._body = bytearray()
        self._cutter = MessageCutter(max_message_bytes=terms.max_response_bytes)
        self._messages: list[tuple[int, bytes]] = []
        self._encoding = b""
        self._leading: Headers = ()

    def open(self) -> Opening:
        if self._codec is not None:
            self._codec.check()
        self._served = True
        self._check_version()
        self._request_gzip = self._reads_gzip()
        return opening(
            timeout_ms=self._head.get(b"connect-timeout-ms"),
            codec=self._codec,
            request_gzip=self._request_gzip,
            accepts_gzip=self._accepts_gzip,
        )

    def request(self, data: bytes) -> bytes:
        self._body += data
        self._check_size(len(self._body))
        return b""

    def request_end(self) -> bytes:
        body, self._body = bytes(self._body), bytearray()
        return self._message(body)

    def begin(self, metadata: Headers) -> ResponseHead | None:
        self._encoding, self._leading = split_encoding(metadata)
        return None

    def response(self, data: bytes) -> bytes:
        self._messages += cut_response(self._cutter, data)
        if len(self._messages) > 1:
            raise self._miscounted()
        return b""

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        metadata = (*self._leading, *[(b"trailer-" + name, value) for name, value in split_encoding(trailers)[1]])
        if outcome.code != _OK:
            body = to_json(error_object(outcome, self._terms.describe))
            return Ending(ResponseHead(self._error_status(outcome), (_ERROR_TYPE, *metadata)), body)
        body, gzip = self._response_body()
        encoding = ((b"content-encoding", compression.GZIP),) if gzip else ()
        own = ((b"content-type", self._media.content_type), *encoding, *self._cache_headers())
        return Ending(ResponseHead(200, own + metadata), body)

    def _check_version(self) -> None:
        check_version(self._head.get(b"connect-protocol-version"), b"1", "connect-protocol-version")

    def _reads_gzip(self) -> bool:
        return is_gzip(self._head.get(b"content-encoding"), "content-encoding")

    def _cache_headers(self) -> Headers:
        return ()

    def _check_size(self, size: int) -> None:
        limit = self._terms.max_message_bytes
        if size > limit:
            raise MessageTooLargeError(f"the message of the request has more than {limit} bytes; no more are taken")

    def _message(self, body: bytes) -> bytes:
        gzip = self._request_gzip and bool(body)
        if self._codec is None:
            return message_frame(body, compressed=gzip)
        if gzip:
            body = decompress_request(body, self._terms.max_message_bytes)
        return message_frame(self._codec.request(body))

    def _error_status(self, outcome: GrpcStatus) -> int:
        # What is refused before it is looked at is not here; what the backend does not do is not implemented.
        code = outcome.error_code
        return 404 if code is Code.UNIMPLEMENTED and not self._served else status.to_http(code)

    def _response_body(self) -> tuple[bytes, bool]:
        """The body, and whether it is gzip."""
        if not self._messages:
            raise self._miscounted()
        flags, message = self._messages[0]
        if flags and self._codec is None and self._accepts_gzip and self._encoding == compression.GZIP:
            return message, True
        if flags:
            message = decompress_response(message, self._encoding, self._terms.max_response_bytes)
        if self._codec is not None:
            message = self._codec.response(message)
        if self._accepts_gzip and compression.is_worth_compressing(message):
            return compression.compress(message), True
        return message, False

    def _miscounted(self) -> ResponseError:
        count = len(self._messages)
        return ResponseError(f"the backend sent {count} messages; this call is answered with one", Code.UNIMPLEMENTED)


class ConnectGet(ConnectUnary):
    """A call by GET, for methods without side effects: its message stands in the query."""

    __slots__ = ("_query", "_text")

    def __init__(
        self, head: RequestHead, media: ConnectMedia, codec: Codec | None, terms: ConnectTerms, *, query: ConnectQuery
    ) -> None:
        super().__init__(head, media, codec, terms)
        self._query = query
        self._text = b""

    def request(self, data: bytes) -> bytes:
        raise RequestError("a GET request has no body; the message stands in the query, or in the body of a POST")

    def request_end(self) -> bytes:
        self._check_size(len(self._text))
        return self._message(self._text)

    def _check_version(self) -> None:
        query = self._query
        check_version(query.version, b"v1", "connect")
        if query.codec not in CODECS:
            raise RequestError(f"the query's `encoding` is {shown(query.codec)}; it must be proto or json")
        self._text = query.message()

    def _reads_gzip(self) -> bool:
        return is_gzip(self._query.compression, "compression")

    def _cache_headers(self) -> Headers:
        return ((b"vary", b"accept-encoding"),)
