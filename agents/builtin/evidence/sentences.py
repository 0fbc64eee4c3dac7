"""Cuts text into sentences, each an exact part of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from troupe.core.text.blocks import Block, Kind, blocks

_END: Final = re.compile(r"[.!?…؟۔।]+[\"'”’»)\]*_`]*(?=\s)|[。！？｡]+[」』”’）]*")  # noqa: RUF001 - marks of other scripts
# A bold beginning names what the text behind it says, and stays with it.
_NAME: Final = re.compile(r"\s*(\*\*|__)(?=\S)[^\n]+?(?<=\S)\1")
# Words that a full stop belongs to.
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:approx|ca|cf|dr|e\.g|eds?|eq|etc|figs?|i\.e|incl?|mrs?|nos?|pp?|refs?|st|vol|vs)|\b[A-Z])$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Span:
    """Code points `start` to `end` of a text."""

    start: int
    end: int


def sentences(text: str) -> list[Span]:
    """The sentences of paragraphs and list items, in order."""
    return [s for block in blocks(text) if block.kind in (Kind.PARAGRAPH, Kind.ITEM) for s in _of_block(text, block)]


def _of_block(text: str, block: Block) -> Iterator[Span]:
    ends = [m.end() for m in _END.finditer(text, block.start, block.end) if _ends(text, block.start, m, block.end)]
    start = block.start
    for end in [*ends, block.end]:
        part = text[start:end]
        if part.strip():
            yield Span(start + len(part) - len(part.lstrip()), start + len(part.rstrip()))
        start = end


def _ends(text: str, start: int, match: re.Match[str], limit: int) -> bool:
    if _NAME.fullmatch(text, start, match.end()) and text[match.end() : limit].strip():
        return False
    if not match[0].startswith("."):
        return True
    before = text[max(0, match.start() - 12) : match.start()]
    return not _ABBREVIATION.search(before) and not text[match.end() : limit].lstrip()[:1].islower()
