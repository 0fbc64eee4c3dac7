"""Word files: by way of HTML, so that tables, notes and raised text are read in one place."""

import re
import zipfile
from dataclasses import replace
from io import BytesIO
from typing import Final
from xml.sax import SAXException

import mammoth

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.html import read_html
from troupe.agents.memory.parsing.office import STUMBLES, check_archive, damaged, stated_title

_STYLES: Final = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='heading 7'] => h6:fresh
p[style-name='heading 8'] => h6:fresh
p[style-name='heading 9'] => h6:fresh
strike => s
highlight[color='unseen'] => !
"""
# The library knows neither hidden text nor text moved by a height; it knows text of a colour and raised text.
_PARTS: Final = frozenset(["word/document.xml", "word/endnotes.xml", "word/footnotes.xml"])
_HIDDEN: Final = re.compile(rb'<w:vanish(?:\s+w:val="(?:1|true|on)")?\s*/>')
_MOVED: Final = re.compile(rb'<w:position\s+w:val="(-?)(\d{1,4})"\s*/>')
_LEAST_MOVE: Final = 3  # half points


def parse_docx(content: bytes, uri: str) -> ParsedDocument:
    """Title: that of the core properties if it tells something, else the first heading.

    Raises:
        TroupeError: it is damaged, encrypted or unpacks to too much.
    """
    check_archive(content, uri, "word/")
    try:
        converted = mammoth.convert_to_html(
            BytesIO(_in_known_terms(content)),
            style_map=_STYLES,
            convert_image=mammoth.images.img_element(lambda _: {"src": ""}),
        )
    except (*STUMBLES, SAXException) as error:
        raise damaged(uri, error) from None
    document = read_html(converted.value)
    return replace(document, title=stated_title(content, uri) or document.title)


def _in_known_terms(content: bytes) -> bytes:
    """The file with what the library does not know said in words that it knows."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        changed = {name: new for name in _PARTS & {*archive.namelist()} if (new := _reworded(archive.read(name)))}
        if not changed:
            return content
        written = BytesIO()
        with zipfile.ZipFile(written, "w") as copy:
            for name in archive.namelist():
                copy.writestr(name, changed.get(name) or archive.read(name))
    return written.getvalue()


def _reworded(part: bytes) -> bytes:
    """The part in words that the library knows; nothing if it knows all of them."""
    raised = _MOVED.sub(_script, part)
    hidden = _HIDDEN.sub(b'<w:highlight w:val="unseen"/>', raised)
    return hidden if hidden != part else b""


def _script(move: re.Match[bytes]) -> bytes:
    if int(move[2]) < _LEAST_MOVE:
        return b""
    return b'<w:vertAlign w:val="%s"/>' % (b"subscript" if move[1] else b"superscript")
