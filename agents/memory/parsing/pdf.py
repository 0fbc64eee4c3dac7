"""PDF: the text of its pages, each page a section."""

import io
import logging
from typing import Final

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from agents.memory.document import Heading, ParsedDocument
from agents.memory.errors import unreadable

_MAX_PAGES: Final = 5_000
_PAGE_BREAK: Final = "\n\n"


def parse_pdf(content: bytes, uri: str) -> ParsedDocument:
    """Title: the metadata's.

    Raises:
        TroupeError: it is not a PDF, is encrypted, damaged or holds no text.
    """
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    if b"%PDF-" not in content[:1024]:
        raise unreadable(uri, "it is not a PDF: it does not begin with `%PDF-`")
    try:
        return _read(PdfReader(io.BytesIO(content), strict=False), uri)
    except (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OSError) as error:
        # pypdf lets these through on damaged files.
        raise unreadable(uri, f"the PDF is damaged: {error or type(error).__name__}") from None


def _read(reader: PdfReader, uri: str) -> ParsedDocument:
    if reader.is_encrypted and not reader.decrypt(""):
        raise unreadable(uri, "the PDF is encrypted; store it without a password")
    if len(reader.pages) > _MAX_PAGES:
        raise unreadable(uri, f"the PDF has {len(reader.pages)} pages, more than {_MAX_PAGES}; split it")
    parts: list[str] = []
    headings: list[Heading] = []
    length = 0
    for number, page in enumerate(reader.pages, 1):
        if text := _clean(page.extract_text()):
            headings.append(Heading(1, f"Page {number}", length, length))
            parts.append(text + _PAGE_BREAK)
            length += len(parts[-1])
    if not parts:
        raise unreadable(uri, "the PDF holds no text, only pictures perhaps; run text recognition on it first")
    return ParsedDocument(text="".join(parts).rstrip(), title=_title(reader), headings=headings)


def _clean(text: str) -> str:
    """Without what cannot be stored or encoded: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode().strip()


def _title(reader: PdfReader) -> str:
    stated = reader.metadata.title if reader.metadata else None
    return " ".join(_clean(stated).split()) if isinstance(stated, str) else ""
