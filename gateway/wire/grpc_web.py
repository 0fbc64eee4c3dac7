"""gRPC-Web, binary and text, and gRPC itself: message bytes pass as they are.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from functools import lru_cache
from typing import ClassVar, Final

from troupe.gateway.wire.dialect import Ending, Opening, RequestError, ResponseHead
from troupe.gateway.wire.framing import MessageBoundary, MessageScanner, trailers_frame
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.media import Media
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.text import TextDecoder, encode_text
from troupe.gateway.wire.timeout import parse_grpc_timeout

_TRAILERS_WANTED: Final = (b"te", b"trailers")
# What gRPC's own servers take. They answer any other name with INTERNAL where the protocol asks for UNIMPLEMENTED.
_ENCODINGS: Final = (b"identity", b"gzip", b"deflate")


@lru_cache(maxsize=1024)
def _opening(content_type: bytes, timeout: bytes) -> Opening:
    headers: Headers = (_TRAILERS_WANTED, (b"content-type", content_type))
    if not timeout:
        return Opening(headers, None)
    return Opening((*headers, (b"grpc-timeout", timeout)), parse_grpc_timeout(timeout))


class Grpc:
    """A call of a gRPC client."""

    name: ClassVar[str] = "grpc"

    __slots__ = ("_content_type", "_encoding", "_scanner", "_timeout")

    def __init__(self, head: RequestHead, content_type: bytes, scanner: MessageScanner) -> None:
        self._content_type = content_type
        self._encoding = head.get(b"grpc-encoding")
        self._timeout = head.get(b"grpc-timeout")
        self._scanner = scanner

    def open(self) -> Opening:
        if self._encoding and self._encoding not in _ENCODINGS:
            known = b", ".join(_ENCODINGS).decode()
            raise RequestError(f"`grpc-encoding` is {shown(self._encoding)}; known are {known}", Code.UNIMPLEMENTED)
        return _opening(self._content_type, self._timeout)

    def request(self, data: bytes) -> bytes:
        self._scanner.feed(data)
        return data

    def request_end(self) -> bytes:
        self._scanner.close()
        return b""

    def begin(self, metadata: Headers) -> ResponseHead | None:
        return ResponseHead(200, ((b"content-type", self._content_type), *metadata))

    def response(self, data: bytes) -> bytes:
        return data

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        # Headers and trailers where one block of both would do: every client understands that.
        head = None if started else ResponseHead(200, ((b"content-type", self._content_type),))
        return Ending(head, trailers=outcome.pairs + trailers)


class GrpcWeb(Grpc):
    """A call of a gRPC-Web client: the trailers are the last frame of the body."""

    name: ClassVar[str] = "grpc-web"

    __slots__ = ("_boundary", "_response_type")

    def __init__(self, head: RequestHead, media: Media, scanner: MessageScanner) -> None:
        super().__init__(head, media.request_type, scanner)
        self._response_type = media.response_type
        self._boundary = MessageBoundary()

    def begin(self, metadata: Headers) -> ResponseHead | None:
        return ResponseHead(200, ((b"content-type", self._response_type), *metadata))

    def response(self, data: bytes) -> bytes:
        self._boundary.feed(data)
        return data

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        if not started:
            return Ending(ResponseHead(200, ((b"content-type", self._response_type), *trailers, *outcome.pairs)))
        if outcome.own and not self._boundary.reached:
            return Ending(None, broken=True)
        return Ending(None, self._written(trailers_frame(outcome.pairs + trailers)))

    def _written(self, data: bytes) -> bytes:
        return data


class GrpcWebText(GrpcWeb):
    """The same in base64, in either direction or both."""

    name: ClassVar[str] = "grpc-web-text"

    __slots__ = ("_decoder", "_encodes")

    def __init__(self, head: RequestHead, media: Media, scanner: MessageScanner) -> None:
        super().__init__(head, media, scanner)
        self._decoder = TextDecoder() if media.text else None
        self._encodes = media.text_response

    def request(self, data: bytes) -> bytes:
        return super().request(data if self._decoder is None else self._decoder.feed(data))

    def request_end(self) -> bytes:
        rest = b"" if self._decoder is None else self._decoder.close()
        return super().request(rest) + super().request_end()

    def response(self, data: bytes) -> bytes:
        return self._written(super().response(data))

    def _written(self, data: bytes) -> bytes:
        return encode_text(data) if self._encodes else data


def grpc_web(head: RequestHead, media: Media, scanner: MessageScanner) -> GrpcWeb:
    """The dialect of a gRPC-Web request."""
    return (GrpcWebText if media.text or media.text_response else GrpcWeb)(head, media, scanner)
