"""Which protocol a request speaks."""

import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from google.protobuf import descriptor_pool

from troupe.gateway.methods import Method, Methods
from troupe.gateway.transcoding import JsonCodec, describe
from troupe.gateway.wire.connect import ConnectTerms
from troupe.gateway.wire.connect_media import ConnectMedia, parse_connect_media, parse_connect_query
from troupe.gateway.wire.connect_stream import ConnectStream, ConnectTranslatedStream
from troupe.gateway.wire.connect_unary import ConnectGet, ConnectUnary
from troupe.gateway.wire.dialect import Dialect
from troupe.gateway.wire.framing import MessageScanner
from troupe.gateway.wire.grpc_web import Grpc, grpc_web
from troupe.gateway.wire.media import is_grpc, is_protobuf, parse_media
from troupe.gateway.wire.request import RequestHead

# With a dot, so that `application/json` may be posted to pages of other kinds.
_PATH: Final = re.compile(rb"/[A-Za-z_]\w*(?:\.\w+)+/[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that a request asks for."""

    path: bytes
    """Of the gRPC method."""
    dialect: Dialect


class Dialects:
    """Reads the heads of requests."""

    def __init__(self, methods: Methods, *, max_message_bytes: int, max_response_bytes: int) -> None:
        self._methods = methods
        self._max_message_bytes = max_message_bytes
        self._max_response_bytes = max_response_bytes

    def of(self, head: RequestHead) -> Asked | None:
        """The call that a request asks for; None when it is no call."""
        if head.method == b"GET":
            return self._connect_get(head)
        if head.method != b"POST":
            return None
        content_type = head.get(b"content-type")
        media = parse_media(content_type, head.get(b"accept"))
        if media is None and not (head.http2 and is_grpc(content_type)):
            return self._connect_post(head)
        method = self._methods.find(head.target)
        # What methods speak that are not known is between their server and the client.
        if method is not None and not is_protobuf(content_type):
            return None
        scanner = self._scanner(method)
        if media is not None:
            return Asked(head.target, grpc_web(head, media, scanner))
        return Asked(head.target, Grpc(head, content_type, scanner))

    def _connect_post(self, head: RequestHead) -> Asked | None:
        media = parse_connect_media(head.get(b"content-type"))
        path = head.target.partition(b"?")[0]
        method = self._methods.find(path)
        if media is None or (method is None and _PATH.fullmatch(path) is None):
            return None
        if method is not None and media.stream != (method.client_streaming or method.server_streaming):
            return None
        codec = JsonCodec(path, method) if media.json else None
        terms = self._terms(method)
        if not media.stream:
            return Asked(path, ConnectUnary(head, media, codec, terms))
        scanner = self._scanner(method)
        if codec is None:
            return Asked(path, ConnectStream(head, media, codec, terms, scanner=scanner))
        return Asked(path, ConnectTranslatedStream(head, media, codec, terms, scanner=scanner))

    def _connect_get(self, head: RequestHead) -> Asked | None:
        path, _, text = head.target.partition(b"?")
        method = self._methods.find(path)
        if method is None or not method.no_side_effects or method.client_streaming or method.server_streaming:
            return None
        query = parse_connect_query(text)
        media = ConnectMedia(query.codec, stream=False)
        codec = JsonCodec(path, method) if media.json else None
        return Asked(path, ConnectGet(head, media, codec, self._terms(method), query=query))

    def _terms(self, method: Method | None) -> ConnectTerms:
        pool = descriptor_pool.Default() if method is None else method.pool
        return ConnectTerms(self._max_message_bytes, self._max_response_bytes, partial(describe, pool=pool))

    def _scanner(self, method: Method | None) -> MessageScanner:
        single = method is not None and not method.client_streaming
        return MessageScanner(max_message_bytes=self._max_message_bytes, single=single)
