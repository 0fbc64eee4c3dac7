"""Which pages of other origins may call, and what browsers are told about it."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from gateway.wire.hpack_blocks import Headers

VARY: Final = (b"vary", b"origin")
_ALWAYS_EXPOSED: Final = (b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"x-request-id")
_USUAL_HEADERS: Final = (
    b"connect-protocol-version, connect-timeout-ms, content-type, grpc-timeout, x-grpc-web, x-user-agent"
)
_MAX_AGE_SECONDS: Final = b"7200"  # the most that Chromium keeps


class CorsPolicy:
    """Decides by a list of origins; `*` stands for any origin, or as `http://localhost:*` for any port."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._any = "*" in origins
        self._allowed = re.compile("|".join(map(_pattern, origins)) or "(?!)")

    def allows(self, origin: bytes, host: bytes) -> bool:
        """Whether a page of `origin` may call a gateway that it knows as `host`.

        A page that the gateway itself serves always may, and so may clients that send no origin.
        """
        if not origin or self._any or origin.rpartition(b"//")[2] == host:
            return True
        return self._allowed.fullmatch(origin.decode("latin-1")) is not None


@lru_cache(maxsize=256)
def response_headers(origin: bytes, metadata_names: Iterable[bytes] = ()) -> Headers:
    """What a response to an allowed origin carries: every header of it can be read by the page."""
    if not origin:
        return (VARY,)
    exposed = dict.fromkeys((*_ALWAYS_EXPOSED, *metadata_names))
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b", ".join(exposed)),
        VARY,
    )


def preflight_headers(origin: bytes, requested_headers: bytes) -> Headers:
    """The answer to a preflight request of an allowed origin; `VARY` goes with it."""
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
        (b"access-control-allow-headers", requested_headers or _USUAL_HEADERS),
        (b"access-control-max-age", _MAX_AGE_SECONDS),
    )


def _pattern(origin: str) -> str:
    if origin.endswith(":*"):
        return re.escape(origin[:-2]) + r"(?::[0-9]{1,5})?"
    return re.escape(origin)
