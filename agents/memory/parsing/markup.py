"""reStructuredText and AsciiDoc: the text is the file; headings, code and tables are found by their lines."""

import re
from collections.abc import Iterator
from typing import Final

from troupe.agents.memory.document import Heading, ParsedDocument, Span
from troupe.agents.memory.parsing.titles import title_of

_LINE: Final = re.compile(r".*(?:\n|\Z)")
_ADORNMENT: Final = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*\Z")
_SIMPLE_TABLE: Final = re.compile(r"=+(?:\s+=+)+\s*\Z")
_GRID_TABLE: Final = re.compile(r"\s*\+(?:[-=]+\+)+\s*\Z")
_SECTION: Final = re.compile(r"(={1,6}|#{1,6})\s+(\S.*?)(?:\s+\1)?\s*\Z")
_FENCE: Final = re.compile(r"(-{4,}|\.{4,}|\+{4,}|/{4,}|\|===|,===|```+)\S*\s*\Z")
_ATTRIBUTE: Final = re.compile(r"^:(?:doctitle|title):[ \t]*(.+)$", re.MULTILINE)

_Lines = list[tuple[int, str]]


def parse_rst(text: str) -> ParsedDocument:
    """Title: the first section's of the highest level."""
    lines = _lines(text)
    headings = list(_sections(lines))
    return ParsedDocument(text, title_of(headings), headings, list(_literals(lines)))


def parse_asciidoc(text: str) -> ParsedDocument:
    """Title: the document's (`= Title`), else the attribute `doctitle`, else the first section's."""
    headings: list[Heading] = []
    atoms: list[Span] = []
    fence, fence_start = "", 0
    for start, line in _lines(text):
        if fence:
            if line.rstrip() == fence:
                atoms.append(Span(fence_start, start + len(line)))
                fence = ""
        elif opened := _FENCE.match(line):
            fence, fence_start = opened[1], start
        elif section := _SECTION.match(line):
            headings.append(Heading(len(section[1]), section[2], start, start + len(line)))
    stated = _ATTRIBUTE.search(text[:4_000])
    top = title_of(headings) if headings and headings[0].level == 1 else ""
    title = top or (stated[1].strip() if stated else title_of(headings))
    return ParsedDocument(text, title, headings, atoms)


def _lines(text: str) -> _Lines:
    return [(match.start(), match[0]) for match in _LINE.finditer(text) if match[0]]


def _sections(lines: _Lines) -> Iterator[Heading]:
    """Titles over a line of one sign; each kind of line is a level, in the order in which they come."""
    kinds: list[tuple[str, bool]] = []
    number = 1
    while number < len(lines):
        under = _ADORNMENT.match(lines[number][1])
        (start, title), end = lines[number - 1], lines[number][0] + len(lines[number][1])
        number += 1
        text = title.strip()
        if not under or not text or _ADORNMENT.match(title) or len(lines[number - 1][1].rstrip()) < len(text):
            continue
        over = number > 2 and lines[number - 3][1].rstrip() == lines[number - 1][1].rstrip()
        alone = number < 3 or not lines[number - 3][1].strip() or lines[number - 3][1].startswith(".. ")
        if (title[0].isspace() and not over) or not (over or alone):
            continue
        kind = under[1], over
        if kind not in kinds:
            kinds.append(kind)
        yield Heading(kinds.index(kind) + 1, text, lines[number - 3][0] if over else start, end)


def _literals(lines: _Lines) -> Iterator[Span]:
    """Blocks of code, which are indented below `::`, and tables."""
    number = 0
    while number < len(lines):
        start, text = lines[number]
        end = number
        if text.rstrip().endswith("::"):
            end = _indented_end(lines, number)
        elif _SIMPLE_TABLE.match(text) or _GRID_TABLE.match(text):
            end = _table_end(lines, number)
        if end > number:
            yield Span(start, lines[end][0] + len(lines[end][1]))
        number = end + 1


def _indented_end(lines: _Lines, number: int) -> int:
    indent = len(lines[number][1]) - len(lines[number][1].lstrip())
    end = number
    for place in range(number + 1, len(lines)):
        text = lines[place][1]
        if not text.strip():
            continue
        if len(text) - len(text.lstrip()) <= indent:
            break
        end = place
    return end


def _table_end(lines: _Lines, number: int) -> int:
    """The last border of the table, which is like the first one, before a blank line."""
    grid = _GRID_TABLE.match(lines[number][1]) is not None
    border = _GRID_TABLE if grid else _SIMPLE_TABLE
    end = number
    for place in range(number + 1, len(lines)):
        text = lines[place][1]
        if border.match(text):
            end = place
        elif not text.strip() and (grid or (end > number and end == place - 1)):
            break
    return end
