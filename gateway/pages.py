"""Plain HTTP responses: everything that is no call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from troupe.gateway.wire import cors, metadata
from troupe.gateway.wire.connect_media import charset_of
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown
from troupe.gateway.wire.status import Code

_PROTOCOLS: Final = (
    "This is a method, and it is called in one of three protocols, which `content-type` names. Connect: "
    "`application/json` or `application/proto` for one message each way, `application/connect+json` or "
    "`application/connect+proto` for streams. gRPC-Web: `application/grpc-web+proto` or "
    "`application/grpc-web-text+proto`. gRPC, over HTTP/2: `application/grpc`."
)
_UTF_8: Final = (b"", b"utf-8", b"utf8")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")


def security_headers(policy: str) -> Headers:
    """What pages that browsers show are sent with, under a content security policy."""
    return (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A response."""

    status: int
    headers: Headers
    body: bytes

    def without_body(self) -> "Page":
        """Its status alone."""
        return replace(self, body=b"")


def _text(status: int, text: str, *headers: tuple[bytes, bytes]) -> Page:
    return Page(status, (_TEXT, *headers), f"{text}\n".encode())


NOT_FOUND: Final = _text(404, "Nothing is here. Calls go to /<service>/<method>; GET / says more.")
_ACCEPTED: Final = (
    b"accept-post",
    b"application/json, application/proto, application/connect+json, application/connect+proto, "
    b"application/grpc-web+proto, application/grpc-web-text+proto, application/grpc",
)
CALL_WITH_POST: Final = _text(405, "Methods are called with POST.", (b"allow", b"POST, OPTIONS"))
METHOD_NOT_ALLOWED: Final = _text(
    405, "GET, HEAD, POST and OPTIONS are known here.", (b"allow", b"GET, HEAD, POST, OPTIONS")
)


def unknown_media(content_type: bytes) -> Page:
    """The answer to a method that is called in no protocol."""
    charset = charset_of(content_type)
    if not content_type:
        problem = "The request has no `content-type`."
    elif charset.lower() not in _UTF_8:
        problem = f"The charset {shown(charset)} is not taken here; send UTF-8."
    else:
        problem = f"The `content-type` {shown(content_type)} is not taken here."
    return _text(415, f"{problem} {_PROTOCOLS}", _ACCEPTED)


def foreign_origin(origin: bytes) -> Page:
    """The answer to a page of an origin that is not on the list."""
    return _forbidden(
        f"Pages of {shown(origin)} may not call this gateway; its setting TROUPE_GATEWAY__CORS_ORIGINS lists who may."
    )


def foreign_host(host: bytes) -> Page:
    """The answer to a request to a server of another name."""
    return _forbidden(
        f"This gateway is not called {shown(host)}; its setting TROUPE_GATEWAY__ALLOWED_HOSTS lists its names besides "
        "localhost and its own address. It does not answer to others, since any site can give its name this address."
    )


def _forbidden(text: str) -> Page:
    """Said to gRPC clients too, which take the status from these headers where they are there."""
    status = metadata.grpc_status(Code.PERMISSION_DENIED, text)
    return _text(403, text, *status.pairs)


def preflight(head: RequestHead, origin: bytes) -> Page:
    """The answer to a browser that asks before it calls."""
    return Page(204, cors.preflight_headers(origin, head.get(b"access-control-request-headers")), b"")


def health(*, serving: bool, draining: bool, problems: Mapping[str, str]) -> Page:
    """Whether calls can be forwarded."""
    healthy = serving and not draining
    state = {"status": "SERVING" if healthy else "NOT_SERVING", "draining": draining, "problems": dict(problems)}
    headers = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
    return Page(200 if healthy else 503, headers, json.dumps(state).encode() + b"\n")
