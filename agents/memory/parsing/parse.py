"""One door to the parsers."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.errors import unreadable
from troupe.agents.memory.parsing.charsets import REPLACEMENT
from troupe.agents.memory.parsing.code import parse_code, parse_json
from troupe.agents.memory.parsing.declared import xml_encoding
from troupe.agents.memory.parsing.encoding import decode
from troupe.agents.memory.parsing.html import parse_html
from troupe.agents.memory.parsing.markdown import parse_markdown
from troupe.agents.memory.parsing.markup import parse_asciidoc, parse_rst
from troupe.agents.memory.parsing.notebook import parse_notebook
from troupe.agents.memory.parsing.values import parse_csv
from troupe.core import media

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def parse(content: bytes, *, uri: str, media_type: str, charset: str = "") -> ParsedDocument:
    """The document's text and structure; `charset` is the encoding that came with it, as `charsets.name_of` names it.

    Raises:
        TroupeError: it cannot be read, or holds no text.
    """
    document = _storable(_parse(content, uri, media_type, charset))
    if not document.text.strip():
        raise unreadable(uri, "it is empty: there is no text to store")
    return document


def _storable(document: ParsedDocument) -> ParsedDocument:
    """Without what cannot be stored or encoded, each place kept: NUL and halves of surrogate pairs."""
    return replace(
        document,
        text=_UNSTORABLE.sub(REPLACEMENT, document.text),
        title=_UNSTORABLE.sub("", document.title),
    )


def _parse(content: bytes, uri: str, media_type: str, charset: str) -> ParsedDocument:
    if media_type == media.HTML:
        return parse_html(content, uri, charset=charset)
    if media_type in _HEAVY:
        return _HEAVY[media_type](content, uri)
    declared = xml_encoding(content) if media_type == media.XML else ""
    decoded = decode(content, uri, transport=charset, declared=declared)
    read = _STRUCTURED.get(media_type) or (parse_code if media_type in media.SOURCE_TYPES else ParsedDocument)
    return replace(read(decoded.text), metadata=decoded.metadata)


# Their libraries are loaded when the first such document comes: most processes never read one.
def _pdf(content: bytes, uri: str) -> ParsedDocument:
    from troupe.agents.memory.parsing.pdf import parse_pdf  # noqa: PLC0415

    return parse_pdf(content, uri)


def _docx(content: bytes, uri: str) -> ParsedDocument:
    from troupe.agents.memory.parsing.docx import parse_docx  # noqa: PLC0415

    return parse_docx(content, uri)


def _pptx(content: bytes, uri: str) -> ParsedDocument:
    from troupe.agents.memory.parsing.pptx import parse_pptx  # noqa: PLC0415

    return parse_pptx(content, uri)


def _xlsx(content: bytes, uri: str) -> ParsedDocument:
    from troupe.agents.memory.parsing.xlsx import parse_xlsx  # noqa: PLC0415

    return parse_xlsx(content, uri)


def _email(content: bytes, uri: str) -> ParsedDocument:
    from troupe.agents.memory.parsing.message import parse_message  # noqa: PLC0415

    return parse_message(content, uri, parse)


_HEAVY: Final[dict[str, Callable[[bytes, str], ParsedDocument]]] = {
    media.DOCX: _docx,
    media.EMAIL: _email,
    media.PDF: _pdf,
    media.PPTX: _pptx,
    media.XLSX: _xlsx,
}
_STRUCTURED: Final[dict[str, Callable[[str], ParsedDocument]]] = {
    media.ASCIIDOC: parse_asciidoc,
    media.CSV: lambda source: parse_csv(source, ",;\t|"),
    media.JSON: parse_json,
    media.JSON_LINES: parse_code,
    media.MARKDOWN: parse_markdown,
    media.NOTEBOOK: parse_notebook,
    media.RST: parse_rst,
    media.TOML: parse_code,
    media.TSV: lambda source: parse_csv(source, "\t"),
    media.YAML: parse_code,
}
