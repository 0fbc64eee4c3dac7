"""Which protocol a request speaks."""

from dataclasses import dataclass

from gateway.methods import Method, Methods
from gateway.wire.dialect import Dialect
from gateway.wire.framing import MessageScanner
from gateway.wire.grpc_web import Grpc, grpc_web
from gateway.wire.media import is_grpc, parse_media
from gateway.wire.request import RequestHead


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that a request asks for."""

    path: bytes
    """Of the gRPC method."""
    dialect: Dialect


class Dialects:
    """Reads the heads of requests."""

    def __init__(self, methods: Methods, *, max_message_bytes: int) -> None:
        self._methods = methods
        self._max_message_bytes = max_message_bytes

    def of(self, head: RequestHead) -> Asked | None:
        """The call that a request asks for; None when it is no call."""
        if head.method != b"POST":
            return None
        content_type = head.get(b"content-type")
        method = self._methods.find(head.target)
        media = parse_media(content_type, head.get(b"accept"))
        if media is not None:
            return Asked(head.target, grpc_web(head, media, self._scanner(method)))
        if head.http2 and is_grpc(content_type):
            return Asked(head.target, Grpc(head, content_type, self._scanner(method)))
        return None

    def _scanner(self, method: Method | None) -> MessageScanner:
        single = method is not None and not method.client_streaming
        return MessageScanner(max_message_bytes=self._max_message_bytes, single=single)
