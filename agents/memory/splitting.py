"""Splits documents into passages along their structure. Pure.

Passages are in order, do not overlap, begin and end with a word, and hold every code point that is not white
space. None crosses a heading of the outermost level. `all-MiniLM-L6-v2` reads 256 tokens, so a passage stays
under that with its title and headings before it; the sizes are estimates, see `agents.tokens`.
"""

import bisect
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from troupe.agents.memory.document import ParsedDocument, Span, SplitPassage
from troupe.agents.tokens import TOKEN, estimate_tokens

HEADING_SEPARATOR: Final = " › "  # noqa: RUF001
_MAX_TOKENS: Final = 210
_MIN_TOKENS: Final = 70
_MAX_LENGTH: Final = 4_000  # code points; white space costs no tokens
_MAX_HEADING: Final = 500

_BLANK_LINE: Final = re.compile(r"\n[^\S\n]*\n")
_ITEM: Final = re.compile(r"\n(?=[^\S\n]*(?:[-*+•]|\d{1,9}[.)])[^\S\n])")
_LINE: Final = re.compile(r"[\n\r\u2028\u2029]+")
_SENTENCE: Final = re.compile(r"(?<=[.!?؟۔।…])[\"'”’»)\]]*\s+|(?<=[。！？])[」』”’）]*")  # noqa: RUF001
_WORD: Final = re.compile(r"\s+")
_PROSE: Final = (_ITEM, _SENTENCE, _LINE, _WORD)
_LINES: Final = (_LINE, _WORD)


@dataclass(frozen=True, slots=True)
class _Section:
    start: int
    end: int
    path: tuple[str, ...]
    chapter: int


@dataclass(frozen=True, slots=True)
class _Unit:
    """A paragraph, or an atom: code or a table, whose parts are told under its `header`."""

    span: Span
    atom: bool
    header: str = ""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What becomes a passage."""

    start: int
    end: int
    tokens: int
    path: tuple[str, ...]
    chapter: int


def split(document: ParsedDocument) -> list[SplitPassage]:
    """The passages of a document."""
    pieces: list[_Piece] = []
    for section in _sections(document):
        packer = _Packer(document.text, section)
        for unit in _units(document.text, section, document.atoms):
            packer.add(unit)
        packer.flush()
        pieces.extend(packer.pieces)
    return [SplitPassage(piece.start, piece.end, _heading(piece.path)) for piece in _merge_small(pieces)]


def _heading(path: Sequence[str]) -> str:
    return HEADING_SEPARATOR.join(path)[:_MAX_HEADING]


def _sections(document: ParsedDocument) -> Iterator[_Section]:
    """The text between headings; a heading without text of its own goes with the section below it."""
    text, headings = document.text, document.headings
    outermost = min((heading.level for heading in headings), default=0)
    ends = [*(heading.start for heading in headings), len(text)]
    yield _Section(0, ends[0], (), 0)
    path: list[tuple[int, str]] = []
    chapter, start = 0, ends[0]
    for index, heading in enumerate(headings):
        end = ends[index + 1]
        chapter += heading.level == outermost
        path = [*(step for step in path if step[0] < heading.level), (heading.level, heading.title)]
        below = index + 1 < len(headings) and headings[index + 1].level > outermost
        if below and not text[heading.end : end].strip():
            continue
        yield _Section(start, end, tuple(title for _, title in path if title), chapter)
        start = end


def _units(text: str, section: _Section, atoms: Sequence[Span]) -> Iterator[_Unit]:
    """The paragraphs and atoms of a section, in order."""
    position = section.start
    first = bisect.bisect_right(atoms, section.start, key=lambda atom: atom.end)
    after = bisect.bisect_left(atoms, section.end, key=lambda atom: atom.start)
    for atom in atoms[first:after]:
        start, end = max(atom.start, position), min(atom.end, section.end)
        yield from (_Unit(span, atom=False) for span in _cut(text, Span(position, start), _BLANK_LINE))
        yield from (_Unit(span, atom=True, header=atom.header) for span in _trim(text, start, end))
        position = max(end, position)
    yield from (_Unit(span, atom=False) for span in _cut(text, Span(position, section.end), _BLANK_LINE))


def _cut(text: str, span: Span, separator: re.Pattern[str]) -> Iterator[Span]:
    """Cuts after each separator; white space at the cuts is left out."""
    start = span.start
    for match in separator.finditer(text, span.start, span.end):
        yield from _trim(text, start, match.end())
        start = match.end()
    yield from _trim(text, start, span.end)


def _trim(text: str, start: int, end: int) -> Iterator[Span]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield Span(start, end)


class _Packer:
    """Fills passages with units, breaking those that are too large."""

    def __init__(self, text: str, section: _Section) -> None:
        self.pieces: list[_Piece] = []
        self._text = text
        self._section = section
        self._open: _Piece | None = None

    def add(self, unit: _Unit) -> None:
        """Takes the next unit."""
        piece = self._piece(unit.span)
        if self._extend(piece):
            return
        alone = _fits(piece)
        if self._open and (self._open.tokens >= _MIN_TOKENS or (unit.atom and alone)):
            self.flush()
        if alone and self._open is None:
            self._open = piece
            return
        for span in self._break(unit.span, _LINES if unit.atom else _PROSE):
            part = self._piece(span)
            if unit.header and span.start > unit.span.start:
                part = replace(part, path=(*part.path, unit.header))
            if not self._extend(part):
                self.flush()
                self._open = part

    def flush(self) -> None:
        """Ends the passage that is being filled."""
        if self._open:
            self.pieces.append(self._open)
        self._open = None

    def _piece(self, span: Span) -> _Piece:
        tokens = estimate_tokens(self._text[span.start : span.end])
        return _Piece(span.start, span.end, tokens, self._section.path, self._section.chapter)

    def _extend(self, piece: _Piece) -> bool:
        if self._open is None or not _fits(joined := _join(self._open, piece)):
            return False
        self._open = joined
        return True

    def _break(self, span: Span, separators: Sequence[re.Pattern[str]]) -> Iterator[Span]:
        if _fits(self._piece(span)):
            yield span
        elif separators:
            for part in _cut(self._text, span, separators[0]):
                yield from self._break(part, separators[1:])
        else:
            yield from _cut_word(self._text, span)


def _cut_word(text: str, span: Span) -> Iterator[Span]:
    """Cuts what has no white space, such as Chinese prose, between code points that do not combine."""
    start, tokens = span.start, 0
    for match in TOKEN.finditer(text, span.start, span.end):
        if tokens >= _MAX_TOKENS and not _combines(text[match.start()]):
            yield Span(start, match.start())
            start, tokens = match.start(), 0
        tokens += 1
    yield Span(start, span.end)


def _combines(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or character == "\u200d"


def _fits(piece: _Piece) -> bool:
    return piece.tokens <= _MAX_TOKENS and piece.end - piece.start <= _MAX_LENGTH


def _join(first: _Piece, second: _Piece) -> _Piece:
    path = _common(first.path, second.path)
    return _Piece(first.start, second.end, first.tokens + second.tokens, path, first.chapter)


def _common(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """The path that both share; the deeper one when it lies below the other."""
    shorter, longer = sorted((first, second), key=len)
    if longer[: len(shorter)] == shorter:
        return longer
    return tuple(
        step for step, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    )


def _merge_small(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Joins fragments with their neighbour, as long as both fit into a passage of one chapter."""
    merged: list[_Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        small = last and last.chapter == piece.chapter and min(last.tokens, piece.tokens) < _MIN_TOKENS
        if last and small and _fits(joined := _join(last, piece)):
            merged[-1] = joined
        else:
            merged.append(piece)
    return merged
