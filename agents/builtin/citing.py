"""From a statement to the exact place of a passage that it was taken from. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from agents.builtin.text.sentences import Span, sentences
from troupe.api.common.v1.content_pb2 import Citation, Passage

# The rule that prompts put between paragraphs is no part of the passage.
_GAP: Final = r"\s+"
_POINTING: Final = re.compile(
    r"(?:it|its|this|that|these|those|they|their|he|she|such|both|the latter|the former)\b", re.IGNORECASE
)


def locate(text: str, passage: Passage) -> Span | None:
    """Where the passage says this, whatever its white space; offsets within the passage's text."""
    words = text.split()
    if not words:
        return None
    exact = passage.text.find(text)
    if exact >= 0:
        return Span(exact, exact + len(text))
    match = re.search(_GAP.join(map(re.escape, words)), passage.text)
    return Span(match.start(), match.end()) if match else None


def with_context(span: Span, passage: Passage) -> Span:
    """The span, from the sentence before it on where it begins with a word that points back."""
    if not _POINTING.match(passage.text, span.start):
        return span
    before = [s for s in sentences(passage.text) if s.end <= span.start]
    if (
        not before
        or not _adjacent(passage.text, before[-1], span)
        or passage.text[before[-1].start : before[-1].end].endswith(":")
    ):
        return span
    return Span(before[-1].start, span.end)


def cite(passage: Passage, span: Span, number: int = 0) -> Citation:
    """The citation of a place of a passage."""
    return Citation(
        number=number,
        passage_id=passage.passage_id,
        document_id=passage.document_id,
        document_title=passage.document_title,
        document_uri=passage.document_uri,
        heading=passage.heading,
        start_offset=passage.start_offset + span.start,
        end_offset=passage.start_offset + span.end,
        quote=passage.text[span.start : span.end],
    )


def place_of(citation: Citation) -> tuple[str, int, int]:
    """What makes two citations the same."""
    return citation.document_id, citation.start_offset, citation.end_offset


def overlaps(one: Citation, other: Citation) -> bool:
    """Whether both quote some of the same text."""
    same = one.document_id == other.document_id
    return same and one.start_offset < other.end_offset and other.start_offset < one.end_offset


def best_span(similarities: Sequence[float], spans: Sequence[Span]) -> tuple[float, Span] | None:
    """The span with the largest similarity."""
    return max(zip(similarities, spans, strict=True), key=lambda pair: pair[0], default=None)


def _adjacent(text: str, before: Span, span: Span) -> bool:
    gap = text[before.end : span.start]
    return not gap.strip() and gap.count("\n") <= 1
