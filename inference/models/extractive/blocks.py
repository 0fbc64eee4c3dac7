"""Cuts Markdown or plain text into blocks: paragraphs, list items, table rows, headings and code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

_FENCE = re.compile(r"[ \t]*(```+|~~~+)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_UNDERLINE = re.compile(r" {0,3}(=+|-{3,})[ \t]*$")
_ITEM = re.compile(r"[ \t]*(?:[-*+•‣◦–]|\d{1,3}[.)]|[a-zA-Z][.)])[ \t]+")
_QUOTE = re.compile(r"[ \t]*>[ \t]?")
_ROW = re.compile(r"[ \t]*\|")
_RULE = re.compile(r"[ \t]*\|?[ \t:|+=_*-]+\|?[ \t]*$")


class Kind(Enum):
    """What a block is."""

    PARAGRAPH = auto()
    ITEM = auto()
    ROW = auto()
    HEADING = auto()
    CODE = auto()


@dataclass(frozen=True)
class Block:
    """A block at code points `start` to `end` of its text, without list marker and outer table bars."""

    kind: Kind
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """The blocks, in order; blank lines and rules belong to none."""
    found: list[Block] = []
    open_block = False
    for block in _lines(text):
        if block is None:
            open_block = False
        elif block.kind is Kind.PARAGRAPH and open_block:
            found[-1] = Block(found[-1].kind, found[-1].start, block.end)
        else:
            found.append(block)
            open_block = block.kind in (Kind.PARAGRAPH, Kind.ITEM)
    return found


def _lines(text: str) -> Iterator[Block | None]:
    """A block a line; None where the block above ends."""
    fence = ""
    lines = _spans(text)
    for index, (start, end) in enumerate(lines):
        line = text[start:end]
        marker = _FENCE.match(line)
        following = text[slice(*lines[index + 1])] if index + 1 < len(lines) else ""
        if fence:
            fence = "" if marker and marker[1].startswith(fence) else fence
            yield Block(Kind.CODE, start, end)
        elif marker:
            fence = marker[1]
            yield Block(Kind.CODE, start, end)
        elif not line.strip():
            yield None
        else:
            yield _line(line, start, end, following)


def _line(line: str, start: int, end: int, following: str) -> Block | None:
    if _HEADING.match(line) or (_UNDERLINE.match(following) and not _ROW.match(line)):
        return Block(Kind.HEADING, start, end)
    if _RULE.match(line):
        return None
    if _ROW.match(line):
        inner = line.strip().strip("|").strip()
        start += line.index(inner)
        # The row above the rule names the columns.
        kind = Kind.HEADING if _RULE.match(following) and "|" in following else Kind.ROW
        return Block(kind, start, start + len(inner))
    if item := _ITEM.match(line):
        return Block(Kind.ITEM, start + item.end(), end)
    quote = _QUOTE.match(line)
    return Block(Kind.PARAGRAPH, start + (quote.end() if quote else 0), end)


def _spans(text: str) -> list[tuple[int, int]]:
    spans = []
    start = 0
    for line in text.split("\n"):
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return spans
