"""How well each sentence answers the question."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .blocks import Kind
from .prompt import Source
from .sentences import sentences
from .words import content_words, count_words

Vectors = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
"""Texts to vectors of length 1."""

MAX_ENCODED = 96
MIN_WORDS = 4
MAX_POINTER_WORDS = 16
# Chosen, like the thresholds of `selection`, on questions that technical documents and the Cranfield abstracts do and
# do not answer: 95 % of the former are answered, 90 % of the latter are not, and all that are about something else.
_NAMED_WEIGHT = 0.2
_NAMED_USUAL = 0.6
_TITLE_WEIGHT = 0.4
# Sentences beside a good one speak of the same thing, in words that they need not repeat.
_NEIGHBOUR_WEIGHT = 0.2
_MARKS = tuple(".!…;。！؟।॥۔｡")  # noqa: RUF001 - other scripts' marks
_CLOSERS = "\"'”’»)]*_`」』）"  # noqa: RUF001
_POINTING = ("it ", "this ", "that ", "these ", "those ", "they ", "he ", "she ", "such ", "but ", "so ")
_ASKS_DATE = re.compile(r"\bwhen (?:was|were|did)\b|\b(?:what|which) (?:year|date|day)\b", re.IGNORECASE)
_DATE = re.compile(
    r"\b(?:1\d|20)\d\d\b|\b(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)[a-z]*\.? \d|\bcentury\b",
    re.IGNORECASE,
)
# Asks what something is or does; the answer is a sentence that begins with its name, above all `X is …`.
_ASKS_WHAT = re.compile(
    r"what (?:is|are|was|were|does|do|can) (?:an? |the )?(?P<name>[^?,;]{2,50}?)"
    r"(?: (?:do|mean|offer|provide|(?P<use>used for|for|about)))?\s*\??$",
    re.IGNORECASE,
)
_TELLS = re.compile(
    r"\W*(?:is|are|was|were|can|does|provides?|offers?|lets?|makes?|allows?|helps?|enables?|supports?|gives?|means?)\b",
    re.IGNORECASE,
)
_MARKUP = '*_`["“ '
# Sends the reader elsewhere.
_POINTS_AWAY = re.compile(
    r"(?:please )?(?:also )?(?:see|check out|refer to|visit|click|take a look|have a look|learn more"
    r"|read (?:more|the|about)|for (?:more|further|full|additional) )",
    re.IGNORECASE,
)
_DANGLES = re.compile(r"\b(?:here|below|above)\W*$|\bfound \[?here\b", re.IGNORECASE)
_LINK = re.compile(r"!?\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])|https?://\S+")
_DIGITS = re.compile(r"\d+")
_MIN_WORDS_OF_ROW = 8
_TARGET = re.compile(r"\]\([^)]*\)|https?://\S+")
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|long|often|fast|large|old|far)\b|\bwhat (?:share|percentage)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|hundreds?|thousands?|millions?|once|twice|half)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Candidate:
    """A sentence that may be quoted; `position` counts the candidates of all sources in their order."""

    position: int
    source: Source
    text: str
    kind: Kind


@dataclass(frozen=True)
class Scored:
    """Candidates with the relevance of each, about 0 to 1, and their vectors, row by row.

    `evidence` says how far the sources bear on the question at all: the best relevance, more where the sources speak
    of everything that the question names, less where they do not.
    """

    candidates: Sequence[Candidate]
    relevance: npt.NDArray[np.float64]
    vectors: Vectors
    evidence: float


def candidates(sources: Sequence[Source]) -> list[Candidate]:
    """All sentences long enough to say something."""
    found: list[Candidate] = []
    for source in sources:
        for sentence in sentences(source.text):
            text = source.text[sentence.start : sentence.end]
            if count_words(_TARGET.sub("]", text)) >= MIN_WORDS and _is_statement(text, sentence.kind):
                found.append(Candidate(len(found), source, text, sentence.kind))
    return found


def _is_statement(text: str, kind: Kind) -> bool:
    """Lines of a paragraph that end without a mark are titles, code or trees of files; items and rows have no need."""
    if text.endswith((":", "?")) or _DANGLES.search(text) or not count_words(_LINK.sub("", text)):
        return False
    if _POINTS_AWAY.match(text) and count_words(_TARGET.sub("]", text)) < MAX_POINTER_WORDS:
        return False
    return kind is not Kind.PARAGRAPH or text.rstrip(_CLOSERS).endswith(_MARKS)


def score(question: str, found: Sequence[Candidate], encode: Encode) -> Scored:
    """Scores by meaning and by words; of many candidates only the best by words are looked at."""
    asked = content_words(question)
    words = [content_words(candidate.text) for candidate in found]
    lexical = _lexical(asked, words, [content_words(candidate.source.title) for candidate in found])
    kept = sorted(np.argsort(-lexical, kind="stable")[:MAX_ENCODED].tolist())
    candidates = [found[i] for i in kept]
    placed = [f"{candidate.source.title}: {candidate.text}" for candidate in candidates]
    vectors = encode([question, *(candidate.text for candidate in candidates), *placed])
    alone, in_place = np.split(vectors[1:] @ vectors[0], 2)
    meaning = np.maximum(alone, 0.5 * (alone + in_place))
    wanted = _wanted(question)
    weights = np.array([_weight(c, wanted) * _naming(c.text, question) for c in candidates])
    relevance = (0.65 * meaning + 0.35 * lexical[kept]) * weights
    best = float(relevance.max(initial=0.0))
    relevance += _NEIGHBOUR_WEIGHT * (_best_of_source(candidates, relevance) - relevance)
    named = len(asked.intersection(frozenset().union(*words))) / len(asked) if asked else 0.0
    evidence = best + _NAMED_WEIGHT * (named - _NAMED_USUAL)
    return Scored(candidates, relevance, vectors[1 : 1 + len(kept)], evidence)


def _best_of_source(candidates: Sequence[Candidate], relevance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each candidate, the relevance of the best one of its source."""
    best: dict[int, float] = {}
    for candidate, value in zip(candidates, relevance.tolist(), strict=True):
        best[candidate.source.number] = max(best.get(candidate.source.number, 0.0), value)
    return np.array([best[candidate.source.number] for candidate in candidates])


def _lexical(
    asked: frozenset[str], words: Sequence[frozenset[str]], titles: Sequence[frozenset[str]]
) -> npt.NDArray[np.float64]:
    """The share of the question's words, weighted by their rarity, that each candidate has; less for its title's."""
    frequency = Counter(word for present in words for word in present & asked)
    rarity = {word: math.log(1 + (len(words) + 1) / (frequency[word] + 0.5)) for word in asked}
    total = sum(rarity.values()) or 1.0
    return np.array(
        [
            sum(rarity[word] * (1.0 if word in here else _TITLE_WEIGHT) for word in asked & (here | above)) / total
            for here, above in zip(words, titles, strict=True)
        ]
    )


def _naming(text: str, question: str) -> float:
    """More for sentences about the thing that the question asks about as a whole."""
    asked = _ASKS_WHAT.match(question)
    bare = text.lstrip(_MARKUP)
    if not asked or not bare.casefold().startswith(asked["name"].casefold()):
        return 1.0
    return 1.25 if not asked["use"] and _TELLS.match(bare, len(asked["name"])) else 1.1


def _wanted(question: str) -> tuple[re.Pattern[str], float] | None:
    """What an answer must hold, and what a sentence without it is worth."""
    if _ASKS_DATE.search(question):
        return _DATE, 0.6
    return (_NUMBER, 0.8) if _ASKS_NUMBER.search(question) else None


def _weight(candidate: Candidate, wanted: tuple[re.Pattern[str], float] | None) -> float:
    """Less for sentences that read badly alone, and for those without the number or date that is asked for."""
    weight = 1.0
    if candidate.kind is Kind.ROW:
        weight = 0.9 if count_words(_DIGITS.sub("", candidate.text)) >= _MIN_WORDS_OF_ROW or wanted else 0.75
    elif candidate.text.lower().startswith(_POINTING):
        weight = 0.95
    return weight * wanted[1] if wanted and not wanted[0].search(candidate.text) else weight
