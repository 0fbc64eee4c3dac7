"""How well each sentence answers the question."""

import math
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


@dataclass(frozen=True)
class Candidate:
    """A sentence that may be quoted; `position` counts the candidates of all sources in their order."""

    position: int
    source: Source
    text: str
    kind: Kind


@dataclass(frozen=True)
class Scored:
    """Candidates with the relevance of each, about 0 to 1, and their vectors, row by row."""

    candidates: Sequence[Candidate]
    relevance: npt.NDArray[np.float64]
    vectors: Vectors


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
    lexical = _lexical(question, found)
    kept = sorted(np.argsort(-lexical, kind="stable")[:MAX_ENCODED].tolist())
    texts = [found[i].text for i in kept]
    placed = [f"{found[i].source.title}: {found[i].text}" for i in kept]
    vectors = encode([question, *texts, *placed])
    alone = vectors[1 : 1 + len(kept)] @ vectors[0]
    in_place = vectors[1 + len(kept) :] @ vectors[0]
    relevance = 0.65 * np.maximum(alone, 0.5 * (alone + in_place)) + 0.35 * lexical[kept]
    weights = np.array([_weight(found[i]) for i in kept])
    return Scored([found[i] for i in kept], relevance * weights, vectors[1 : 1 + len(kept)])


def _lexical(question: str, found: Sequence[Candidate]) -> npt.NDArray[np.float64]:
    """The share of the question's words, weighted by their rarity, that each candidate has."""
    asked = content_words(question)
    words = [content_words(candidate.text) for candidate in found]
    titles = [content_words(candidate.source.title) for candidate in found]
    frequency = Counter(word for present in words for word in present & asked)
    rarity = {word: math.log(1 + (len(found) + 1) / (frequency[word] + 0.5)) for word in asked}
    total = sum(rarity.values())
    if not total:
        return np.zeros(len(found))
    return np.array(
        [
            sum(rarity[word] * (1.0 if word in here else 0.4) for word in asked & (here | above)) / total
            for here, above in zip(words, titles, strict=True)
        ]
    )


_POINTING = ("it ", "this ", "that ", "these ", "those ", "they ", "he ", "she ", "such ", "but ", "so ")


def _weight(candidate: Candidate) -> float:
    """Sentences that lean on the one before them read badly alone; rows of tables read badly anywhere."""
    if candidate.kind is Kind.ROW:
        return 0.9
    return 0.95 if candidate.text.lower().startswith(_POINTING) else 1.0
