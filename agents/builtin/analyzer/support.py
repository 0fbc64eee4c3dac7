"""From what a model wrote to statements with the places that support them. Pure but for the similarity."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from troupe.agents.builtin.analyzer.quotes import Quote, joined, quote
from troupe.agents.builtin.evidence.answers import Statement, statements
from troupe.agents.builtin.evidence.citing import HEADING_SEPARATOR, cite, locate
from troupe.agents.builtin.evidence.readable import plain
from troupe.agents.builtin.evidence.sentences import Span, sentences
from troupe.agents.builtin.evidence.wording import share
from troupe.agents.builtin.evidence.worth import says_something
from troupe.api.common.v1.content_pb2 import Citation, Passage
from troupe.core.text.blocks import Kind

Similar = Callable[[str, str], float]
_MIN_SUPPORT: Final = 0.45
_MEANING_WEIGHT: Final = 0.6


@dataclass(frozen=True, slots=True)
class Supported:
    """A statement with what supports it, at least one place."""

    text: str
    evidence: tuple[Citation, ...]
    kind: Kind = Kind.PARAGRAPH


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer as it was read: quotations, and what is in the model's own words."""

    quotes: Sequence[Quote]
    written: Sequence[Statement]


def read_answer(answer: str, passages: Mapping[int, Passage]) -> Reading:
    """The statements of an answer whose sources exist."""

    def verbatim(text: str, numbers: Sequence[int]) -> bool:
        return any(n in passages and locate(text, passages[n]) is not None for n in numbers)

    quotes, written = [], []
    for statement in statements(answer, verbatim=verbatim):
        if (quoted := quote(statement, passages)) is not None:
            quotes.append(quoted)
        elif any(number in passages for number in statement.numbers):
            written.append(statement)
    return Reading(joined(quotes), written)


def texts_to_compare(reading: Reading, passages: Mapping[int, Passage]) -> list[str]:
    """What `supported` compares: statements in own words, and the sentences that may support them."""
    cited = {n for statement in reading.written for n in statement.numbers if n in passages}
    candidates = [passages[n].text[s.start : s.end] for n in sorted(cited) for s in sentences(passages[n].text)]
    return [statement.text for statement in reading.written] + candidates


def supported(reading: Reading, passages: Mapping[int, Passage], similar: Similar) -> list[Supported]:
    """The statements with the exact places that support them; those without any, or that say nothing, are left out."""
    found = [_quoted(one) for one in reading.quotes if one.kind not in (Kind.CODE, Kind.HEADING)]
    found += [_own(statement, passages, similar) for statement in reading.written]
    return [
        one
        for one in found
        if one.evidence and not _is_title(one) and says_something(one.text, row=one.kind is Kind.ROW)
    ]


def _is_title(one: Supported) -> bool:
    """Whether it only repeats the title or a heading of its document."""
    names = (one.evidence[0].document_title, *one.evidence[0].heading.split(HEADING_SEPARATOR))
    return _bare(one.text) in {_bare(plain(name)) for name in names}


def _bare(text: str) -> str:
    return text.casefold().strip(" .:")


def _quoted(one: Quote) -> Supported:
    return Supported(one.text, (cite(one.passage, one.span), *(cite(*other) for other in one.others)), one.kind)


def _own(statement: Statement, passages: Mapping[int, Passage], similar: Similar) -> Supported:
    places = [_closest(statement.text, passages[n], similar) for n in statement.numbers if n in passages]
    return Supported(plain(statement.text), tuple(place for place in places if place is not None))


def _closest(text: str, passage: Passage, similar: Similar) -> Citation | None:
    """The sentence of the passage that supports a text best."""
    rated = [(_support(text, passage.text[s.start : s.end], similar), s) for s in sentences(passage.text)]
    best, span = max(rated, key=lambda pair: pair[0], default=(0.0, Span(0, 0)))
    return cite(passage, span) if best >= _MIN_SUPPORT else None


def _support(text: str, sentence: str, similar: Similar) -> float:
    """By meaning, and by the share of the text's words and numbers that the sentence has."""
    return _MEANING_WEIGHT * similar(text, sentence) + (1 - _MEANING_WEIGHT) * share(text, sentence)
