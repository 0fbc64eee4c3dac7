"""Cuts Markdown and plain text into blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

_FENCE: Final = re.compile(r"[ \t]*(`{3,}|~{3,})")
_HEADING: Final = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_UNDERLINE: Final = re.compile(r" {0,3}(?:=+|-{3,}|~{3,}|\^{3,})[ \t]*$")
_RULE: Final = re.compile(r"[ \t]*\|?[ \t:|+=_*~^-]+\|?[ \t]*$")
_ROW: Final = re.compile(r"[ \t]*\|")
_ITEM: Final = re.compile(r"[ \t]*(?:[-*+•‣◦–]|\d{1,3}[.)]|[a-zA-Z][.)])[ \t]+")
_QUOTE: Final = re.compile(r"[ \t]*(?:>[ \t]?)+")


class Kind(Enum):
    """What a block is."""

    PROSE = auto()
    ITEM = auto()
    ROW = auto()
    HEADING = auto()
    CODE = auto()


@dataclass(frozen=True, slots=True)
class Block:
    """A block at code points `start` to `end` of its text, without its list marker."""

    kind: Kind
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """The blocks, in order. Blank lines and rules belong to none; a row of a table is a block."""
    found: list[Block] = []
    joins = False
    for block in _by_line(text):
        if block is None:
            joins = False
        elif joins and block.kind is Kind.PROSE:
            found[-1] = Block(found[-1].kind, found[-1].start, block.end)
        else:
            found.append(block)
            joins = block.kind in (Kind.PROSE, Kind.ITEM)
    return found


def block_at(text: str, offset: int) -> Block | None:
    """The block that holds an offset."""
    return next((block for block in blocks(text) if block.start <= offset < block.end), None)


def _by_line(text: str) -> Iterator[Block | None]:
    """A block a line; None where the block above ends."""
    fence = ""
    lines = _lines(text)
    for index, (start, end) in enumerate(lines):
        line = text[start:end]
        following = text[slice(*lines[index + 1])] if index + 1 < len(lines) else ""
        marker = _FENCE.match(line)
        if fence or marker:
            yield Block(Kind.CODE, start, end)
            fence = _after_fence_line(fence, marker[1] if marker else "")
        else:
            yield _plain(line, start, end, following)


def _lines(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for line in text.split("\n"):
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return spans


def _after_fence_line(fence: str, marker: str) -> str:
    """The fence that is open below a line with this marker."""
    if not fence:
        return marker
    return "" if marker.startswith(fence) else fence


def _plain(line: str, start: int, end: int, following: str) -> Block | None:
    if not line.strip() or _RULE.match(line):
        return None
    if _HEADING.match(line) or _UNDERLINE.match(following):
        return Block(Kind.HEADING, start, end)
    if _ROW.match(line):
        names_columns = "|" in following and _RULE.match(following)
        return Block(Kind.HEADING if names_columns else Kind.ROW, start, end)
    if item := _ITEM.match(line):
        return Block(Kind.ITEM, start + item.end(), end)
    quote = _QUOTE.match(line)
    return Block(Kind.PROSE, start + (quote.end() if quote else 0), end)
