"""Word files: by way of HTML, so that tables, notes and raised text are read in one place."""

from dataclasses import replace
from io import BytesIO
from typing import Final
from xml.sax import SAXException

import mammoth

from agents.memory.document import ParsedDocument
from agents.memory.parsing.html import read_html
from agents.memory.parsing.office import STUMBLES, check_archive, damaged, stated_title

_STYLES: Final = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='heading 7'] => h6:fresh
p[style-name='heading 8'] => h6:fresh
p[style-name='heading 9'] => h6:fresh
strike => s
"""


def parse_docx(content: bytes, uri: str) -> ParsedDocument:
    """Title: that of the core properties if it tells something, else the first heading.

    Raises:
        TroupeError: it is damaged, encrypted or unpacks to too much.
    """
    check_archive(content, uri, "word/")
    try:
        converted = mammoth.convert_to_html(
            BytesIO(content), style_map=_STYLES, convert_image=mammoth.images.img_element(lambda _: {"src": ""})
        )
    except (*STUMBLES, SAXException) as error:
        raise damaged(uri, error) from None
    document = read_html(converted.value)
    return replace(document, title=stated_title(content, uri) or document.title)
