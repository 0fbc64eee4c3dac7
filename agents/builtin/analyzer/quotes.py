"""Quotations: places of passages, made to read well alone. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from troupe.agents.builtin.evidence.answers import Statement
from troupe.agents.builtin.evidence.citing import locate
from troupe.agents.builtin.evidence.readable import readable, readable_row
from troupe.agents.builtin.evidence.sentences import Span, sentences
from troupe.api.common.v1.content_pb2 import Passage
from troupe.core.text.blocks import Kind, block_at

_POINTS_BACK: Final = re.compile(
    r"(?:it|its|this|that|these|those|they|their|he|she|such|both|so|but|however|therefore|the latter|the former)\b",
    re.IGNORECASE,
)
_MAX_LENGTH: Final = 420


@dataclass(frozen=True, slots=True)
class Quote:
    """A place of a passage, and other places that say the same word by word.

    `columns` is the row that names the columns of a row of a table.
    """

    passage: Passage
    span: Span
    kind: Kind
    columns: str = ""
    others: tuple[tuple[Passage, Span], ...] = ()

    @property
    def raw(self) -> str:
        """The passage's text at the place."""
        return self.passage.text[self.span.start : self.span.end]

    @property
    def text(self) -> str:
        """How it reads."""
        return readable_row(self.raw, self.columns) if self.kind is Kind.ROW else readable(self.raw)


def quote(statement: Statement, passages: Mapping[int, Passage]) -> Quote | None:
    """Where the statement stands word by word in a passage that it cites; None when it is in other words."""
    cited = [passages[number] for number in statement.numbers if number in passages]
    places = [(passage, span) for passage in cited if (span := locate(statement.text, passage)) is not None]
    if not places:
        return None
    (passage, span), *others = places
    block = block_at(passage.text, span.start)
    if block is None:
        return Quote(passage, span, Kind.PARAGRAPH, others=tuple(others))
    return Quote(passage, span, block.kind, block.columns, tuple(others))


def joined(quotes: Sequence[Quote]) -> list[Quote]:
    """The quotes, those that point back together with the sentence that they point to."""
    places: list[Quote | None] = list(quotes)
    ends = {(q.passage.passage_id, q.span.end): place for place, q in enumerate(quotes)}
    for place, one in enumerate(quotes):
        before = _pointed_to(one)
        if before is None:
            continue
        home = ends.get((one.passage.passage_id, before.end), place)
        target = places[home]
        if target is None:
            continue
        span = Span(min(before.start, target.span.start), max(one.span.end, target.span.end))
        if span.end - span.start <= _MAX_LENGTH:
            places[place] = None
            places[home] = replace(target, span=span)
            ends[one.passage.passage_id, span.end] = home
    return [one for one in places if one is not None]


def _pointed_to(one: Quote) -> Span | None:
    """The sentence right before a quote that begins by pointing back."""
    if one.kind is Kind.ROW or not _POINTS_BACK.match(one.passage.text, one.span.start):
        return None
    text = one.passage.text
    before = [span for span in sentences(text) if span.end <= one.span.start]
    if not before:
        return None
    gap = text[before[-1].end : one.span.start]
    adjacent = not gap.strip() and gap.count("\n") <= 1
    return before[-1] if adjacent and not text[: before[-1].end].endswith((":", "?")) else None
