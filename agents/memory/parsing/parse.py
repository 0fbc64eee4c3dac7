"""One door to the parsers."""

from agents.memory.document import ParsedDocument
from agents.memory.errors import unreadable
from agents.memory.parsing.encoding import decode
from agents.memory.parsing.html import parse_html
from agents.memory.parsing.markdown import parse_markdown
from agents.memory.parsing.media import HTML, MARKDOWN, PDF
from agents.memory.parsing.pdf import parse_pdf


def parse(content: bytes, *, uri: str, media_type: str) -> ParsedDocument:
    """The document's text and structure.

    Raises:
        TroupeError: it cannot be read, or holds no text.
    """
    document = _parse(content, uri, media_type)
    if not document.text.strip():
        raise unreadable(uri, "it is empty: there is no text to store")
    return document


def _parse(content: bytes, uri: str, media_type: str) -> ParsedDocument:
    if media_type == PDF:
        return parse_pdf(content, uri)
    if media_type == HTML:
        return parse_html(content, uri)
    text = decode(content, uri)
    return parse_markdown(text) if media_type == MARKDOWN else ParsedDocument(text=text)
