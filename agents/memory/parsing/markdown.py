"""Markdown: the text is the file; headings, code and tables are found by their lines (CommonMark and tables)."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from troupe.agents.memory.document import Heading, ParsedDocument, Span
from troupe.agents.memory.parsing.front_matter import front_matter
from troupe.agents.memory.parsing.titles import title_of

_LINE_END: Final = re.compile(r"\r\n?|\n")
_ATOMS: Final = ("fence", "code_block", "table_open")
_MAX_TITLE: Final = 300

# Inline marks matter in headings only, and cost the most.
_BLOCKS: Final = MarkdownIt("commonmark").enable("table").disable("inline")
_INLINE: Final = MarkdownIt("commonmark")


def parse_markdown(text: str) -> ParsedDocument:
    """Title: the front matter's, else the first heading of the highest level."""
    front_end, stated = front_matter(text)
    body = re.sub(r"[^\r\n]", " ", text[:front_end]) + text[front_end:]
    tokens = _BLOCKS.parse(body)
    starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    starts.append(len(text))
    headings = list(_headings(tokens, starts))
    atoms = [*([Span(0, front_end)] if front_end else []), *_atoms(tokens, starts, text)]
    return ParsedDocument(text, stated or title_of(headings), headings, _disjoint(atoms))


def _headings(tokens: list[Token], starts: list[int]) -> Iterator[Heading]:
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            first, after = token.map
            yield Heading(int(token.tag[1:]), _plain(inline.content), starts[first], starts[after])


def _plain(source: str) -> str:
    parts = (child.content or " " for root in _INLINE.parseInline(source[:_MAX_TITLE]) for child in root.children or ())
    return " ".join("".join(parts).split())


def _atoms(tokens: list[Token], starts: list[int], text: str) -> Iterator[Span]:
    for token in tokens:
        if token.type in _ATOMS and token.map:
            first, after = token.map
            header = text[starts[first] : starts[first + 1]].strip() if token.type == "table_open" else ""
            yield Span(starts[first], starts[after], header)


def _disjoint(atoms: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for atom in atoms:
        if not kept or atom.start >= kept[-1].end:
            kept.append(atom)
    return kept
