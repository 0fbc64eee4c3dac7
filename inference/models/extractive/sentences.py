"""Cuts text into sentences, each an exact part of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from troupe.core.text.blocks import Block, Kind, blocks

MAX_CHARACTERS = 600

# A terminator with the quotes and brackets that close behind it. East Asian ones need no space after them.
_END = re.compile(r"[.!?…؟।॥۔]+[\"'”’»)\]*_`]*(?=\s)|[。！？｡]+[」』”’）]*")  # noqa: RUF001 - other scripts' marks
# A bold beginning names what the text behind it says, and stays with it.
_NAME = re.compile(r"\s*(\*\*|__)(?=\S)[^\n]+?(?<=\S)\1")
# Lead the eye from a name to its value.
_LEADERS = re.compile(r"[.…]{4,}")
_WORD_BEFORE = re.compile(r"[\w.]*$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_ABBREVIATION_LIST = """
    al approx art ca cf ch co corp dept dr ed eds e.g eg eq esp est etc ex fig figs i.e ie inc incl jr ltd max min mr
    mrs ms no nos op p pp prof ref refs resp sec sr st tab viz vol vs
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())


@dataclass(frozen=True)
class Sentence:
    """A sentence at code points `start` to `end` of its text; `columns` names those of a table's row."""

    start: int
    end: int
    kind: Kind
    columns: str = ""


def sentences(text: str) -> list[Sentence]:
    """The sentences of the paragraphs, list items and table rows; headings and code have none."""
    return [sentence for block in blocks(text) for sentence in _of_block(text, block)]


def _of_block(text: str, block: Block) -> Iterator[Sentence]:
    if block.kind in (Kind.HEADING, Kind.CODE):
        return
    cut = [block.end] if block.kind is Kind.ROW else _cuts(text, block.start, block.end)
    start = block.start
    for end in cut:
        for piece_start, piece_end in _short_pieces(text, start, end):
            sentence = _trimmed(text, piece_start, piece_end, block)
            if sentence.start < sentence.end:
                yield sentence
        start = end


def _cuts(text: str, start: int, end: int) -> list[int]:
    ends = [m.end() for m in _END.finditer(text, start, end) if _is_boundary(text, start, m, end)]
    return [*ends, end]


def _is_boundary(text: str, start: int, match: re.Match[str], end: int) -> bool:
    if _NAME.fullmatch(text, start, match.end()) and text[match.end() : end].strip():
        return False
    if not match[0].startswith("."):
        return True
    if _LEADERS.fullmatch(match[0]):
        return False
    if match.start() > start and text[match.start() - 1].isspace():
        return True  # a full stop that stands alone
    found = _WORD_BEFORE.search(text, start, match.start())
    word = found[0] if found else ""
    if word.lower() in _ABBREVIATIONS or _INITIALS.fullmatch(word):
        return False
    following = text[match.end() : end].lstrip()[:1]
    # Where the next word is in lower case, only a plain word ends a sentence.
    return not following.islower() or (len(word) >= 4 and word.isalpha() and word.islower())


def _short_pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """What has no end of sentence for too long is cut at its line breaks."""
    if end - start <= MAX_CHARACTERS:
        return [(start, end)]
    return [
        (start + offset, start + min(offset + MAX_CHARACTERS, line.end()))
        for line in re.finditer(r"[^\n]+", text[start:end])
        for offset in range(line.start(), line.end(), MAX_CHARACTERS)
    ]


def _trimmed(text: str, start: int, end: int, block: Block) -> Sentence:
    part = text[start:end]
    return Sentence(start + len(part) - len(part.lstrip()), start + len(part.rstrip()), block.kind, block.columns)
