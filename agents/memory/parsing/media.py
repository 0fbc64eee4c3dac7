"""Which parser reads a document."""

import re
import zipfile
from io import BytesIO
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

from troupe.agents.memory.errors import unreadable
from troupe.core import media
from troupe.core.media import HTML, MARKDOWN, PDF, TEXT

_UNSTATED: Final = frozenset(["", "application/octet-stream", "application/unknown", "binary/octet-stream", "*/*"])
_ALIASES: Final = {
    "application/csv": media.CSV,
    "application/ecmascript": "text/x-javascript",
    "application/javascript": "text/x-javascript",
    "application/jsonlines": media.JSON_LINES,
    "application/x-javascript": "text/x-javascript",
    "application/x-json": media.JSON,
    "application/x-ndjson": media.JSON_LINES,
    "application/x-pdf": PDF,
    "application/x-sh": "text/x-shell",
    "application/x-toml": media.TOML,
    "application/x-yaml": media.YAML,
    "application/xhtml+xml": HTML,
    "multipart/related": media.EMAIL,
    "text/html": HTML,
    "text/json": media.JSON,
    "text/prs.fallenstein.rst": media.RST,
    "text/restructuredtext": media.RST,
    "text/tsv": media.TSV,
    "text/x-asciidoc": media.ASCIIDOC,
    "text/x-markdown": MARKDOWN,
    "text/x-yaml": media.YAML,
    "text/xml": media.XML,
    "text/yaml": media.YAML,
}
_OFFICE: Final = {"word/": media.DOCX, "ppt/": media.PPTX, "xl/": media.XLSX}
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def media_type_of(uri: str, declared: str, content: bytes) -> str:
    """One of the types that are read: as declared, else by the URI's suffix, else by how the content begins.

    Raises:
        TroupeError: it is of a kind that nothing reads.
    """
    declared = declared.partition(";")[0].strip().lower()
    if declared in _UNSTATED:
        return _by_name(uri, content)
    known = _ALIASES.get(declared, declared)
    if known in media.READABLE:
        return known
    if declared.startswith("text/"):
        return TEXT
    if declared.endswith("+json"):
        return media.JSON
    if declared.endswith("+xml") and not declared.startswith("image/"):
        return media.XML
    raise unreadable(uri, f"media type {declared!r} is not read; send text, Markdown, HTML, PDF or an Office file")


def _by_name(uri: str, content: bytes) -> str:
    path = uri.partition("?")[0].partition("#")[0] if _URL.match(uri) else uri
    name = PurePosixPath(unquote(path)).name
    named, found = media.media_type_of_path(name), _sniff(content)
    if found == PDF and (named is None or named == TEXT):
        return found
    if named is None and found == TEXT and media.is_known_unread(name):
        raise unreadable(uri, f"it is {media.kind_of_unread(name)}, which is not read")
    return named or found


def _sniff(content: bytes) -> str:
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n\f").lower()
    if head.startswith(b"%pdf-"):
        return PDF
    if head.startswith(b"pk\x03\x04"):
        return _sniff_archive(content)
    if head.startswith((b"<!doctype html", b"<html")):
        return HTML
    if head.startswith(b"<?xml"):
        return HTML if b"<html" in head else media.XML
    return TEXT


def _sniff_archive(content: bytes) -> str:
    try:
        names = zipfile.ZipFile(BytesIO(content)).namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return TEXT
    return next((kind for folder, kind in _OFFICE.items() if any(name.startswith(folder) for name in names)), TEXT)
