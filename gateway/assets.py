"""The live page's files, read once."""

import gzip
import hashlib
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, Self

from troupe.gateway.pages import Page, security_headers
from troupe.gateway.wire.compression import accepts_gzip
from troupe.gateway.wire.hpack_blocks import Headers

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY: Final[Headers] = (
    *security_headers(_POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_IMMUTABLE: Final = (b"cache-control", b"public, max-age=31536000, immutable")
_ASK_AGAIN: Final = (b"cache-control", b"no-cache")
_SMALLEST_ZIPPED_BYTES: Final = 1024
_NOT_BUILT: Final = """\
This is Troupe's gateway: browsers call its services here, over gRPC-Web.

The live page, which runs tasks and shows them as they happen, is not built in this installation.
`make console` builds it; it needs to reach npm's registry once. Restart the gateway then.

From a terminal: troupe run "Compare the two reports"
Health: GET /healthz
"""


@dataclass(frozen=True, slots=True)
class _Asset:
    plain: Page
    zipped: Page | None
    etag: bytes
    """Empty where the name changes with the content."""


class Assets:
    """Finds pages by path; the page's own names of files hold hashes of their content."""

    def __init__(self, files: Iterable[tuple[str, bytes]]) -> None:
        self._assets = {_path(name): _asset(name, body) for name, body in files}
        self._assets.setdefault(b"/", _asset("index.txt", _NOT_BUILT.encode()))

    @classmethod
    def load(cls) -> Self:
        """Reads what the page's build left beside `gateway.console`; a text says how to build it where it was not."""
        dist = resources.files("troupe.gateway.console") / "dist"
        return cls(_files(dist) if (dist / "index.html").is_file() else ())

    def find(self, path: bytes, *, accept_encoding: bytes = b"", if_none_match: bytes = b"") -> Page | None:
        """The page at a path, in the form that the client takes; None where there is none."""
        asset = self._assets.get(path)
        if asset is None:
            return None
        if asset.etag and asset.etag in if_none_match:
            return replace(asset.plain, status=304, body=b"")
        return asset.zipped if asset.zipped is not None and accepts_gzip(accept_encoding) else asset.plain


def _files(folder: Traversable, prefix: str = "") -> Iterable[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_bytes()


def _path(name: str) -> bytes:
    return b"/" if name == "index.html" else f"/{name}".encode()


def _asset(name: str, body: bytes) -> _Asset:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    hashed = name.startswith("assets/")
    etag = b"" if hashed else b'"%b"' % hashlib.sha256(body).hexdigest()[:16].encode()
    headers: Headers = (
        (b"content-type", f"{kind}{charset}".encode()),
        _IMMUTABLE if hashed else _ASK_AGAIN,
        *([] if hashed else [(b"etag", etag)]),
        *_SECURITY,
    )
    if not hashed or len(body) < _SMALLEST_ZIPPED_BYTES:
        return _Asset(Page(200, headers, body), None, etag)
    headers = (*headers, (b"vary", b"accept-encoding"))
    zipped = Page(200, (*headers, (b"content-encoding", b"gzip")), gzip.compress(body, mtime=0))
    return _Asset(Page(200, headers, body), zipped, etag)
