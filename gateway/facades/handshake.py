"""The opening handshake of WebSockets: RFC 6455, 4.2."""

import base64
import binascii

from troupe.gateway.facades.failure import Failure
from troupe.gateway.pages import Page
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.status import Code

_VERSION = b"13"


def refusal(head: RequestHead) -> Page | None:
    """The answer to a request that opens no WebSocket."""
    if not _lists(head, b"upgrade", b"websocket") or not _lists(head, b"connection", b"upgrade"):
        # HTTP/2 has no such headers; there is no other answer to a client that speaks it.
        headers = () if head.http2 else ((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
        return _page(426, "this is a WebSocket; open it with a WebSocket client, over HTTP/1.1", *headers)
    if head.get(b"sec-websocket-version") != _VERSION:
        return _page(426, "the WebSocket version must be 13", (b"sec-websocket-version", _VERSION))
    if not _is_key(head.get(b"sec-websocket-key")):
        return _page(400, "`sec-websocket-key` must be the base64 of 16 bytes")
    if head.get(b"transfer-encoding") or head.get(b"content-length") not in {b"", b"0"}:
        return _page(400, "a request that opens a WebSocket has no body")
    return None


def _page(status: int, message: str, *headers: tuple[bytes, bytes]) -> Page:
    return Failure(Code.INVALID_ARGUMENT, message, "INVALID_REQUEST").page(status, *headers)


def _lists(head: RequestHead, name: bytes, wanted: bytes) -> bool:
    return wanted in [part.strip() for part in head.get(name).lower().split(b",")]


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False
