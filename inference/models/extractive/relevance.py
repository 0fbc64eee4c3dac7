"""How well each sentence answers the question."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from troupe.core.text.blocks import Kind
from troupe.core.text.rows import labelled

from .asking import attribute, weight
from .prompt import Source
from .sentences import sentences
from .standing import stands_alone
from .words import content_words

Vectors = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
"""Texts to vectors of length 1."""

MAX_ENCODED = 96
# Chosen, like the thresholds of `selection`, on questions that technical documents and the Cranfield abstracts do and
# do not answer; the unit tests hold some of both kinds.
_NAMED_WEIGHT = 0.2
_NAMED_USUAL = 0.6
_TITLE_WEIGHT = 0.4
# Sentences beside a good one speak of the same thing, in words that they need not repeat.
_NEIGHBOUR_WEIGHT = 0.2
_MISSING_ATTRIBUTE = 0.1
_LIKE_ATTRIBUTE = 0.28


@dataclass(frozen=True)
class Candidate:
    """A sentence that may be quoted; `position` counts the candidates of all sources in their order."""

    position: int
    source: Source
    text: str
    kind: Kind
    columns: str = ""

    @property
    def said(self) -> str:
        """What it says: of a row of a table, each value under the name of its column; of a pair, of what it is one."""
        if self.kind is Kind.ROW:
            return labelled(self.text, self.columns)
        return f"{self.columns}: {self.text}" if self.columns else self.text


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
    """All sentences that say something when they stand alone."""
    found: list[Candidate] = []
    for source in sources:
        for sentence in sentences(source.text):
            text = source.text[sentence.start : sentence.end]
            candidate = Candidate(len(found), source, text, sentence.kind, sentence.columns)
            named = sentence.columns and sentence.kind is not Kind.ROW
            if stands_alone(candidate.said if named else text, sentence.kind):
                found.append(candidate)
    return found


def score(question: str, found: Sequence[Candidate], encode: Encode) -> Scored:
    """Scores by meaning and by words; of many candidates only the best by words are looked at."""
    asked = content_words(question)
    words = [content_words(candidate.said) for candidate in found]
    titles = [content_words(candidate.source.title) for candidate in found]
    lexical = _lexical(asked, words, titles)
    kept = sorted(np.argsort(-lexical, kind="stable")[:MAX_ENCODED].tolist())
    candidates = [found[i] for i in kept]
    placed = [f"{candidate.source.title}: {candidate.said}" for candidate in candidates]
    looked_for = attribute(question) or question
    vectors = encode([question, looked_for, *(candidate.said for candidate in candidates), *placed])
    alone, in_place = np.split(vectors[2:] @ vectors[0], 2)
    meaning = np.maximum(alone, 0.5 * (alone + in_place))
    weights = np.array([weight(candidate.said, candidate.kind, question) for candidate in candidates])
    relevance = (0.65 * meaning + 0.35 * lexical[kept]) * weights
    best = float(relevance.max(initial=0.0))
    relevance += _NEIGHBOUR_WEIGHT * (_best_of_source(candidates, relevance) - relevance)
    there = frozenset().union(*words)
    named = len(asked & there) / len(asked) if asked else 0.0
    evidence = best + _NAMED_WEIGHT * (named - _NAMED_USUAL)
    texts = vectors[2 : 2 + len(kept)]
    if looked_for != question and not content_words(looked_for) & there.union(*titles):
        likeness = float((texts @ vectors[1]).max(initial=0.0))
        evidence -= _MISSING_ATTRIBUTE if likeness < _LIKE_ATTRIBUTE else 0.0
    return Scored(candidates, relevance, texts, evidence)


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
