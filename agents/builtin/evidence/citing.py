"""From words to the exact place of a passage that they were taken from. Pure."""

import re
from typing import Final

from troupe.agents.builtin.evidence.sentences import Span
from troupe.api.common.v1.content_pb2 import Citation, Passage

HEADING_SEPARATOR: Final = " › "  # noqa: RUF001 - as the contracts have it
# Prompts change white space, and nothing else.
_GAP: Final = r"\s+"


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


def cite(passage: Passage, span: Span) -> Citation:
    """The citation of a place of a passage; it gets its number where it is used."""
    return Citation(
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
