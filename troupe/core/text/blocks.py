"""Cuts Markdown or plain text into blocks: paragraphs, list items, table rows, headings and code."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from troupe.core.text.rows import inside, is_row, names_columns

_FENCE: Final = re.compile(r"[ \t]*(```+|~~~+)")
_HEADING: Final = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_UNDERLINE: Final = re.compile(r" {0,3}(?:=+|-{3,}|~{3,}|\^{3,})[ \t]*$")
_ITEM: Final = re.compile(r"[ \t]*(?:[-*+•‣◦–]|\d{1,3}[.)]|[a-zA-Z][.)])[ \t]+")
_QUOTE: Final = re.compile(r"[ \t]*(?:>[ \t]?)+")
# A line that asks, and marks of the one that answers: `Q: …?`, `A: …`.
_QUESTION: Final = re.compile(
    r"[ \t]*(?:#{1,6}[ \t]+)?(?:\W{0,3}Q(?:uestion)?[ \t]*\d*[.:)]\W{0,3}[ \t]*)?"
    r"(?P<asked>\S(?:[^.!?…]|[.!](?=\S)){1,160}[?？؟])\W{0,3}$"
)
_ANSWER: Final = re.compile(r"[ \t]*\W{0,3}A(?:nswer)?[ \t]*\d*[.:)]\W{0,3}(?:[ \t]+|$)")
# What stands below its term, as Markdown's definition lists have it.
_DEFINITION: Final = re.compile(r"[ \t]{0,3}[:~][ \t]+(?=\S)")
_RULE: Final = re.compile(r"[ \t]*\|?[ \t:|+=_*~^-]+\|?[ \t]*$")
# `name: value`, `name = value`, `name ..... value` or, with a tab, a column; several lines of them are a list.
_PAIR: Final = re.compile(
    r"[ \t]*(?![#>|])[^\s:=|.!?][^:=|.!?\n\t]{0,40}?(?: *(?:[:：][ \t]+|=[ \t]*|\.{3,}[ \t]*)|\t+)(?=[^\s=:.])"  # noqa: RUF001
)
# Names the pairs below it: `[lease]` or `lease:`.
_SECTION: Final = re.compile(r"[ \t]*(?:\[+(?P<table>[^\[\]\n]{1,60})\]+|(?P<key>[^\s:|#>][^:|\n]{0,40}):)[ \t]*$")


class Kind(Enum):
    """What a block is."""

    PARAGRAPH = auto()
    ITEM = auto()
    ROW = auto()
    HEADING = auto()
    CODE = auto()


@dataclass(frozen=True, slots=True)
class Block:
    """A block at code points `start` to `end` of its text, without list marker and outer table bars.

    `columns` is the row that names the columns of a table's row, what names a list of pairs, the term that is defined
    or the question that is answered; empty where none does.
    """

    kind: Kind
    start: int
    end: int
    columns: str = ""


def blocks(text: str) -> list[Block]:
    """The blocks, in order; blank lines and rules belong to none."""
    found: list[Block] = []
    open_block = False
    for block in _lines(text):
        if block is None:
            open_block = False
        elif block.kind is Kind.PARAGRAPH and open_block:
            found[-1] = replace(found[-1], end=block.end)
        else:
            found.append(block)
            open_block = block.kind in (Kind.PARAGRAPH, Kind.ITEM)
    return found


def block_at(text: str, offset: int) -> Block | None:
    """The block that holds an offset."""
    return next((block for block in blocks(text) if block.start <= offset < block.end), None)


def is_pair(line: str) -> bool:
    """Whether a line gives a value to a name."""
    return bool(_PAIR.match(line))


def _lines(text: str) -> Iterator[Block | None]:
    """A block a line; None where the block above ends."""
    fence = columns = section = asked = ""
    apart = True
    spans = _spans(text)
    lines = [text[start:end] for start, end in spans]
    for index, (start, end) in enumerate(spans):
        line = lines[index]
        marker = _FENCE.match(line)
        if fence:
            fence = "" if marker and marker[1].startswith(fence) else fence
            yield Block(Kind.CODE, start, end)
        elif marker:
            fence = marker[1]
            yield Block(Kind.CODE, start, end)
        elif not line.strip():
            columns, apart = "", True
            yield None
            continue
        elif _is_heading(lines, index):
            asked = _asked(line)
            yield Block(Kind.HEADING, start, end)
            continue
        elif _RULE.match(line):
            yield None
        elif is_row(line):
            row = _row(lines, index, start, columns)
            columns = text[row.start : row.end] if row.kind is Kind.HEADING else columns
            yield row
        elif named := _section(lines, index):
            section = named
            yield None
        elif (apart or _is_answered(lines, index)) and (question := _asked(line)):
            asked = question
            yield Block(Kind.PARAGRAPH, start, end)
            yield None
            apart = True
            continue
        elif said := _said_of(lines, index, asked):
            offset, of_what = said
            yield Block(Kind.ITEM, start + offset, end, of_what)
            asked = ""
        else:
            asked = ""
            columns = ""
            block = _spoken(lines, index, start, end, section)
            section = section if block.columns else ""
            yield block
        apart = False


def _is_heading(lines: Sequence[str], index: int) -> bool:
    underlined = bool(_UNDERLINE.match(_at(lines, index + 1))) and not is_row(lines[index])
    return bool(_HEADING.match(lines[index])) or (underlined and not _RULE.match(lines[index]))


def _row(lines: Sequence[str], index: int, start: int, columns: str) -> Block:
    """The row above the rule names the columns; without a rule it may be the first one."""
    line, above, below = lines[index], _at(lines, index - 1), _at(lines, index + 1)
    ruled = bool(_RULE.match(below)) and ("|" in below or "=" in below)
    first = not is_row(above) and not _RULE.match(above)
    ruled = ruled and (not first or is_row(_at(lines, index + 2)))  # the only row of a table is no heading
    heading = ruled or (first and is_row(below) and names_columns(line, below))
    text = inside(line)
    start += line.index(text)
    return Block(Kind.HEADING if heading else Kind.ROW, start, start + len(text), "" if heading else columns)


def _asked(line: str) -> str:
    """The question that a line is; empty where it is none."""
    question = _QUESTION.match(line)
    return question["asked"].strip("*_ ") if question else ""


def _is_answered(lines: Sequence[str], index: int) -> bool:
    return bool(_ANSWER.match(_at(lines, index + 1)))


def _said_of(lines: Sequence[str], index: int, asked: str) -> tuple[int, str] | None:
    """Where on the line begins what is said of a question or of a term above, and which that is."""
    line, above = lines[index], _at(lines, index - 1)
    if (definition := _DEFINITION.match(line)) and above.strip():
        return definition.end(), above.strip(" \t*_`")
    if asked and not _ITEM.match(line):
        answer = _ANSWER.match(line)
        return (answer.end() if answer else 0), asked
    return None


def _section(lines: Sequence[str], index: int) -> str:
    """What a line names the pairs below it, if it does."""
    found = _SECTION.match(lines[index]) if is_pair(_at(lines, index + 1)) else None
    return (found["table"] or found["key"]).strip() if found else ""


def _spoken(lines: Sequence[str], index: int, start: int, end: int, section: str) -> Block:
    line = lines[index]
    if item := _ITEM.match(line):
        return Block(Kind.ITEM, start + item.end(), end)
    beside = (_at(lines, index - 1), _at(lines, index + 1))
    if is_pair(line) and any(is_pair(other) or _SECTION.match(other) for other in beside):
        return Block(Kind.ITEM, start, end, section)
    quote = _QUOTE.match(line)
    return Block(Kind.PARAGRAPH, start + (quote.end() if quote else 0), end)


def _at(lines: Sequence[str], index: int) -> str:
    return lines[index] if 0 <= index < len(lines) else ""


def _spans(text: str) -> list[tuple[int, int]]:
    spans = []
    start = 0
    for line in text.split("\n"):
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return spans
