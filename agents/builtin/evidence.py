"""From what a model wrote to statements with the places that support them. Pure but for the similarity."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agents.builtin.answers import Statement, statements
from agents.builtin.citing import cite, locate, with_context
from agents.builtin.text.blocks import Kind, block_at
from agents.builtin.text.readable import columns_above, plain, readable
from agents.builtin.text.sentences import Span, sentences
from agents.builtin.text.worth import says_something
from troupe.api.common.v1.content_pb2 import Citation, Passage

Similar = Callable[[str, str], float]
_MIN_SUPPORT: Final = 0.4


@dataclass(frozen=True, slots=True)
class Supported:
    """A statement with what supports it, at least one place."""

    text: str
    evidence: tuple[Citation, ...]
    kind: Kind = Kind.PROSE


def read_answer(answer: str, passages: Mapping[int, Passage]) -> list[Statement]:
    """The statements of an answer whose sources exist, quotations whole."""

    def verbatim(text: str, numbers: Sequence[int]) -> bool:
        return any(n in passages and locate(text, passages[n]) is not None for n in numbers)

    return [s for s in statements(answer, verbatim=verbatim) if any(n in passages for n in s.numbers)]


def texts_to_compare(found: Sequence[Statement], passages: Mapping[int, Passage]) -> list[str]:
    """Statements in a model's own words, and the sentences that may support them: `support` compares these."""
    own = [s for s in found if not _quotations(s, passages)]
    cited = {n for s in own for n in s.numbers if n in passages}
    quotes = [passages[n].text[s.start : s.end] for n in sorted(cited) for s in sentences(passages[n].text)]
    return [s.text for s in own] + quotes


def support(statement: Statement, passages: Mapping[int, Passage], similar: Similar) -> Supported | None:
    """The statement with the exact places that it was taken from; None when it has none or says nothing."""
    if quoted := _quotations(statement, passages):
        return _quotation(quoted)
    places = [_closest(statement.text, passages[n], similar) for n in statement.numbers if n in passages]
    evidence = tuple(place for place in places if place is not None)
    text = plain(statement.text)
    return Supported(text, evidence) if evidence and says_something(text) else None


def _quotations(statement: Statement, passages: Mapping[int, Passage]) -> list[tuple[Passage, Span]]:
    cited = [passages[n] for n in statement.numbers if n in passages]
    return [(passage, span) for passage in cited if (span := locate(statement.text, passage)) is not None]


def _quotation(quoted: Sequence[tuple[Passage, Span]]) -> Supported | None:
    passage, span = quoted[0]
    block = block_at(passage.text, span.start)
    kind = block.kind if block else Kind.PROSE
    if kind is not Kind.ROW:
        span = with_context(span, passage)
    columns = columns_above(passage.text, span.start) if kind is Kind.ROW else ""
    quote = passage.text[span.start : span.end]
    text = readable(f"|{quote}|" if kind is Kind.ROW else quote, columns=columns)
    if kind in (Kind.CODE, Kind.HEADING) or not says_something(text):
        return None
    return Supported(text, (cite(passage, span), *(cite(*other) for other in quoted[1:])), kind)


def _closest(text: str, passage: Passage, similar: Similar) -> Citation | None:
    spans = sentences(passage.text)
    rated = [(similar(text, passage.text[s.start : s.end]), s) for s in spans]
    best, span = max(rated, key=lambda pair: pair[0], default=(0.0, Span(0, 0)))
    return cite(passage, span) if best >= _MIN_SUPPORT else None
