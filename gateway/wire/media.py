"""The media types of gRPC and gRPC-Web."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_FORM: Final = re.compile(rb"application/grpc-web(-text)?(\+[a-z0-9.\-]+)?[ \t]*(?:;.*)?", re.IGNORECASE)
_GRPC: Final = re.compile(rb"application/grpc(\+[a-z0-9.\-]+)?[ \t]*(?:;.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Media:
    """How a call's bodies are written."""

    text: bool
    """Whether the request body is base64."""
    text_response: bool
    """Whether the response body is."""
    codec: bytes
    """What the messages are, such as `+proto`; empty when the client did not say."""

    @property
    def request_type(self) -> bytes:
        """The content type that the backend gets."""
        return b"application/grpc" + self.codec

    @property
    def response_type(self) -> bytes:
        """The content type that the client gets."""
        return (b"application/grpc-web-text" if self.text_response else b"application/grpc-web") + (
            self.codec or b"+proto"
        )


@lru_cache(maxsize=256)
def parse_media(content_type: bytes, accept: bytes) -> Media | None:
    """Reads a request's headers; None when it is not gRPC-Web.

    The response is written like the request unless `accept` names the other form.
    """
    match = _FORM.fullmatch(content_type)
    if match is None:
        return None
    text = match[1] is not None
    return Media(text, _wants_text(accept.lower(), default=text), (match[2] or b"").lower())


def _wants_text(accept: bytes, *, default: bool) -> bool:
    if b"application/grpc-web-text" in accept:
        return True
    return default and b"application/grpc-web" not in accept


def is_grpc(content_type: bytes) -> bool:
    """Whether a request is gRPC itself."""
    return _GRPC.fullmatch(content_type) is not None


def is_protobuf(content_type: bytes) -> bool:
    """Whether the messages of a gRPC or gRPC-Web request are protobuf, as they are where nothing else is said."""
    match = _FORM.fullmatch(content_type) or _GRPC.fullmatch(content_type)
    codec = match[match.re.groups] if match is not None else None
    return match is not None and (codec or b"+proto").lower() == b"+proto"
