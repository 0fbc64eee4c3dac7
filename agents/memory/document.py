"""Documents as values: what parsers make and the splitter takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of code points; `header` names the columns, if it is that of a table."""

    start: int
    end: int
    header: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading from `start` to `end`; level 1 is the outermost."""

    level: int
    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text and structure; headings and atoms are in order, and atoms disjoint.

    `metadata` is what its reader should know of how it was read, such as an encoding that was guessed.
    """

    text: str
    title: str = ""
    headings: Sequence[Heading] = ()
    atoms: Sequence[Span] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SplitPassage:
    """A passage: its place in the text and the headings above it, outermost first."""

    start: int
    end: int
    heading: str
