"""The titles of documents. Programs put file names and their own into the field for it. Pure."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

from troupe.agents.memory.document import Heading

_PROGRAM: Final = re.compile(
    r"(?:microsoft\s+)?(?:word|excel|powerpoint|office|outlook|publisher|visio)\s*[-–—:]|(?:libre|open)office"
    r"|google docs|adobe|quark|indesign|framemaker|wordpad|notepad|latex|ghostscript|acrobat|canva|pages\b",
    re.IGNORECASE,
)
_EMPTY: Final = re.compile(
    r"(?:un(?:titled|named|known|specified|benannt)|ohne titel|sans (?:titre|nom)|sin t[ií]tulo|senza titolo"
    r"|无标题|無題|без названия|title|titel|titre|document|dokument|doc|file|page|seite|slide|folie"
    r"|presentation|präsentation|workbook|arbeitsmappe|sheet|tabelle|scan|print|output|layout|draft|temp|tmp|test"
    r"|new|none|null|n/?a|default|main|article|paper|report|thesis|template|image|img|anonymous|pdf"
    r"|microsoft word|powerpoint[- ]pr(?:ä|ae|e)sentation|word document|full page photo)"
    r"[\s._-]*(?:document|dokument|presentation)?[\s._-]*(?:\(?\d+\)?|[a-z])?",
    re.IGNORECASE,
)
_FILE: Final = re.compile(
    r"\S*[\\/]?[^\s\\/]+\.(?:docx?|odt|rtf|dotx?|pptx?|xlsx?|pdf|tex|dvi|ps|eps|indd|qxd|qxp|fm|pmd|pub|cdr|ai|txt|md"
    r"|html?|tmp|wpd|pages|key|vsdx?|dwg|tiff?|jpe?g|png)(?:\s*[\[(].*)?",
    re.IGNORECASE,
)
_PATH: Final = re.compile(r"(?:[a-z]:)?[\\/]\S*|file:.*|https?://\S+", re.IGNORECASE)
_CODE: Final = re.compile(r"[\W\d_]+|[0-9a-f-]{16,}|\S*\d{4,}\S*|[a-z]+(?:[_-]\w+)+", re.IGNORECASE)


def is_telling(title: str, uri: str) -> bool:
    """Whether a stated title says what the document is about, and is not a program's or a file's name."""
    title = title.strip(" \t-–—_.,:;()[]<>{}\"'")
    if not title or _PROGRAM.match(title) or _PATH.fullmatch(title) or _EMPTY.fullmatch(title):
        return False
    if _FILE.fullmatch(title) or (" " not in title and _CODE.fullmatch(title)):
        return False
    stem = PurePosixPath(unquote(uri)).stem.casefold()
    return title.casefold() not in (stem, PurePosixPath(unquote(uri)).name.casefold())


def title_of(headings: Sequence[Heading]) -> str:
    """The first heading of the highest level that there is."""
    return min(headings, key=lambda heading: heading.level).title if headings else ""
