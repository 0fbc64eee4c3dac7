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
# Chosen, like the thresholds of `selection`, on questions that technical documents and the Cranfield abstracts do and
# do not answer: 95 % of the former are answered, 90 % of the latter are not, and all that are about something else.
_NAMED_WEIGHT = 0.2
_NAMED_USUAL = 0.6
_TITLE_WEIGHT = 0.4
_POINTING = ("it ", "this ", "that ", "these ", "those ", "they ", "he ", "she ", "such ", "but ", "so ")
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|long|often|fast|large|old|far)\b|\bwhen (?:was|were|did)\b"
    r"|\bwhat (?:year|date|share|percentage)\b",
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
            if count_words(text) >= MIN_WORDS and not text.endswith((":", "?")):
                found.append(Candidate(len(found), source, text, sentence.kind))
    return found


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
    number = bool(_ASKS_NUMBER.search(question))
    weights = np.array([_weight(candidate, number=number) for candidate in candidates])
    relevance = (0.65 * meaning + 0.35 * lexical[kept]) * weights
    named = len(asked.intersection(frozenset().union(*words))) / len(asked) if asked else 0.0
    evidence = float(relevance.max(initial=0.0)) + _NAMED_WEIGHT * (named - _NAMED_USUAL)
    return Scored(candidates, relevance, vectors[1 : 1 + len(kept)], evidence)


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


def _weight(candidate: Candidate, *, number: bool) -> float:
    """Less for sentences that read badly alone, and for those without the number that is asked for."""
    weight = 1.0
    if candidate.kind is Kind.ROW:
        weight = 0.9
    elif candidate.text.lower().startswith(_POINTING):
        weight = 0.95
    return weight * 0.8 if number and not _NUMBER.search(candidate.text) else weight
