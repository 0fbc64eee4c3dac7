"""Which parser reads a document."""

from pathlib import PurePosixPath
from typing import Final

from agents.memory.errors import unreadable

TEXT: Final = "text/plain"
MARKDOWN: Final = "text/markdown"
HTML: Final = "text/html"
PDF: Final = "application/pdf"

_BY_SUFFIX: Final = {
    ".txt": TEXT,
    ".text": TEXT,
    ".rst": TEXT,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdx": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
}
_ALIASES: Final = {"text/x-markdown": MARKDOWN, "application/xhtml+xml": HTML, "application/x-pdf": PDF}


def media_type_of(uri: str, declared: str, content: bytes) -> str:
    """One of the four types: as declared, else by the URI's suffix, else by how the content begins.

    Raises:
        TroupeError: a type is declared that nothing reads.
    """
    declared = declared.partition(";")[0].strip().lower()
    if not declared:
        suffix = PurePosixPath(uri.partition("?")[0].partition("#")[0]).suffix.lower()
        return _BY_SUFFIX.get(suffix) or _sniff(content)
    declared = _ALIASES.get(declared, declared)
    if declared in (MARKDOWN, HTML, PDF):
        return declared
    if declared.startswith("text/"):
        return TEXT
    raise unreadable(uri, f"media type {declared!r} is not read; send {TEXT}, {MARKDOWN}, {HTML} or {PDF}")


def _sniff(content: bytes) -> str:
    head = content[:1024].lstrip().lower()
    if head.startswith(b"%pdf-"):
        return PDF
    return HTML if head.startswith((b"<!doctype html", b"<html")) else TEXT
