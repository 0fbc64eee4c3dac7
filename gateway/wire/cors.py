"""Which pages of other origins may call, and what browsers are told about it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from troupe.gateway.wire.hosts import parse_authority
from troupe.gateway.wire.hpack_blocks import Headers

VARY: Final = (b"vary", b"origin")
_ALWAYS_EXPOSED: Final = (b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"x-request-id")
_USUAL_HEADERS: Final = (
    b"connect-protocol-version, connect-timeout-ms, content-type, grpc-timeout, x-grpc-web, x-user-agent"
)
_MAX_AGE_SECONDS: Final = b"7200"  # the most that Chromium keeps
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_ANY_PORT: Final = -1
_OPAQUE: Final = "null"  # of sandboxed frames and of files


class Origin(NamedTuple):
    """Where a page comes from: https://www.rfc-editor.org/rfc/rfc6454#section-4."""

    scheme: str
    host: str
    port: int | None
    """None where a scheme has no ports."""


def parse_origin(text: str) -> Origin | None:
    """Reads an origin; None where it is none, or one that equals no other."""
    scheme, separator, rest = text.partition("://")
    authority = parse_authority(rest)
    if not separator or authority is None or not scheme.isascii() or not scheme.replace("-", "").isalnum():
        return None
    return _origin(scheme.lower(), authority.host, authority.port)


def _origin(scheme: str, host: str, port: int | None) -> Origin:
    return Origin(scheme, host, port if port is not None else _DEFAULT_PORTS.get(scheme))


class CorsPolicy:
    """Decides by a list of origins; `*` stands for any origin, or as `http://localhost:*` for any port."""

    def __init__(self, origins: Sequence[str], *, scheme: str = "http") -> None:
        """`scheme` is that of the gateway's own pages."""
        self._any = "*" in origins
        self._opaque = _OPAQUE in origins
        self._allowed = frozenset([_listed(origin) for origin in origins if origin not in ("*", _OPAQUE)])
        self._scheme = scheme
        self._decide_cached = lru_cache(maxsize=256)(self._decide)

    def allows(self, origin: bytes, host: bytes) -> bool:
        """Whether a page of `origin` may call a gateway that it knows as `host`.

        A page that the gateway itself serves always may, and so may clients that send no origin.
        """
        return not origin or self._any or self._decide_cached(origin, host)

    def _decide(self, origin: bytes, host: bytes) -> bool:
        text = origin.decode("latin-1")
        if text == _OPAQUE:
            return self._opaque
        page = parse_origin(text)
        if page is None:
            return False
        own = parse_authority(host.decode("latin-1"))
        if own is not None and page == _origin(self._scheme, own.host, own.port):
            return True
        return page in self._allowed or page._replace(port=_ANY_PORT) in self._allowed


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """The origins of a setting.

    Raises:
        ValueError: one is none.
    """
    for origin in origins:
        if origin not in ("*", _OPAQUE):
            _listed(origin)
    return origins


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


def _listed(origin: str) -> Origin:
    parsed = parse_origin(origin.removesuffix(":*"))
    if parsed is None:
        raise ValueError(
            f"{origin!r} is no origin: write scheme and host, with the port if there is one and without a path, such "
            "as 'https://app.example.org', 'http://localhost:5173' or 'http://localhost:*'; '*' takes every origin"
        )
    return parsed._replace(port=_ANY_PORT) if origin.endswith(":*") else parsed
