"""Documents as values: what parsers make and the splitter takes."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of code points."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading from `start` to `end`; level 1 is the outermost."""

    level: int
    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text and structure; `atoms` are code blocks and tables, both in order and disjoint."""

    text: str
    title: str = ""
    headings: Sequence[Heading] = ()
    atoms: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class SplitPassage:
    """A passage: its place in the text and the headings above it, outermost first."""

    start: int
    end: int
    heading: str
