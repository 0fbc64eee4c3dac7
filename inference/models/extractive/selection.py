"""Which sentences make the answer, and in which order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .relevance import Candidate, Scored

MIN_EVIDENCE = 0.35
MIN_RELEVANCE = 0.3
MIN_SHARE_OF_BEST = 0.5
NOVELTY = 0.3
SAME = 0.93


@dataclass(frozen=True)
class Statement:
    """A sentence to quote, with the numbers of all sources that hold it."""

    text: str
    citations: tuple[int, ...]
    position: int


def select(scored: Scored, *, limit: int, cost: Callable[[str], int], budget: int) -> list[Statement]:
    """Takes relevant sentences that add something, at most `limit` and worth `budget` by `cost`, and orders them.

    Maximal marginal relevance (Carbonell and Goldstein, 1998). The most relevant comes first, the rest as the sources
    have them. Empty when nothing is relevant; the first is taken whatever it costs.
    """
    if scored.evidence < MIN_EVIDENCE:
        return []
    relevance = scored.relevance.copy()
    best = relevance.max(initial=0.0)
    relevance[relevance < min(best, max(MIN_RELEVANCE, MIN_SHARE_OF_BEST * best))] = -np.inf
    nearest = np.zeros(len(relevance))
    chosen: list[Candidate] = []
    while len(chosen) < limit and relevance.max(initial=-np.inf) > -np.inf:
        index = int(np.argmax(relevance - NOVELTY * nearest))
        candidate = scored.candidates[index]
        relevance[index] = -np.inf
        spent = cost(candidate.text)
        if chosen and spent > budget:
            continue
        budget -= spent
        chosen.append(candidate)
        likeness = scored.vectors @ scored.vectors[index]
        relevance[likeness > SAME] = -np.inf
        nearest = np.maximum(nearest, likeness)
    ordered = chosen[:1] + sorted(chosen[1:], key=lambda candidate: candidate.position)
    return [Statement(c.text, _citations(c, scored.candidates), c.position) for c in ordered]


def _citations(chosen: Candidate, candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """Its own source first, then others that hold the same sentence."""
    same = {c.source.number for c in candidates if c.text == chosen.text}
    return (chosen.source.number, *sorted(same - {chosen.source.number}))
