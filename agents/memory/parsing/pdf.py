"""PDF: the text of its pages as a reader sees it, each page a section."""

from typing import Final

import pypdfium2 as pdfium
from pypdfium2 import raw

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.errors import unreadable
from troupe.agents.memory.parsing.pdf_glyphs import flattened, glyphs_of
from troupe.agents.memory.parsing.pdf_pages import Page, assemble, page_of
from troupe.agents.memory.parsing.titles import is_telling

_MAX_PAGES: Final = 5_000
_HEAD_BYTES: Final = 1_024


def parse_pdf(content: bytes, uri: str) -> ParsedDocument:
    """Title: the metadata's if it tells something, else the largest heading of the first pages.

    Raises:
        TroupeError: it is not a PDF, is encrypted, damaged or holds no text.
    """
    if b"%PDF-" not in content[:_HEAD_BYTES]:
        raise unreadable(uri, "it is not a PDF: it does not begin with `%PDF-`")
    try:
        document = pdfium.PdfDocument(content)
    except pdfium.PdfiumError:
        raise unreadable(uri, _why_closed()) from None
    try:
        return _read(document, uri)
    finally:
        document.close()


def _why_closed() -> str:
    error = raw.FPDF_GetLastError()
    if error == raw.FPDF_ERR_PASSWORD:
        return "the PDF is encrypted; store it without a password"
    if error == raw.FPDF_ERR_SECURITY:
        return "the PDF is protected in a way that only its own reader opens; print it to a new PDF"
    return "the PDF is damaged; save it anew"


def _read(document: pdfium.PdfDocument, uri: str) -> ParsedDocument:
    count = len(document)
    if not count:
        raise unreadable(uri, "the PDF is damaged: it has no page; save it anew")
    if count > _MAX_PAGES:
        raise unreadable(uri, f"the PDF has {count} pages, more than {_MAX_PAGES}; split it")
    document.init_forms()
    scans: list[int] = []
    pages = [_page(document, number, scans) for number in range(count)]
    if not any(page.rows for page in pages):
        raise unreadable(uri, _why_empty(pages, scans))
    parsed = assemble(pages)
    stated = " ".join(document.get_metadata_value("Title").replace("\0", "").split())
    return ParsedDocument(
        text=parsed.text,
        title=stated if is_telling(stated, uri) else parsed.title,
        headings=parsed.headings,
        atoms=parsed.atoms,
        metadata={"pages_without_text": f"{len(scans)} of {count}"} if scans else {},
    )


def _page(document: pdfium.PdfDocument, number: int, scans: list[int]) -> Page:
    """The page's rows; pages that cannot be read are empty, and pictures of text are counted."""
    try:
        page = _opened(document, number)
    except pdfium.PdfiumError:
        scans.append(number)
        return Page([], [])
    try:
        read = page_of(glyphs_of(page))
        if not read.rows and _has_picture(page):
            scans.append(number)
        return read
    finally:
        page.close()


def _opened(document: pdfium.PdfDocument, number: int) -> pdfium.PdfPage:
    page = document[number]
    if not flattened(page):
        return page
    page.close()
    return document[number]


def _has_picture(page: pdfium.PdfPage) -> bool:
    return any(True for _ in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]))


def _why_empty(pages: list[Page], scans: list[int]) -> str:
    if scans:
        return "the PDF holds pictures of its pages and no text; run text recognition on it first"
    return f"the PDF holds no text on its {len(pages)} page{'s' if len(pages) > 1 else ''}"
