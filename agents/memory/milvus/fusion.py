"""Candidates, and how two rankings of them become one. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from troupe.agents.memory.store import Hold, StoredDocument

# Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", 2009.
_RRF_K: Final = 60
# Of two passages that the rankings place the other way round, the one that has the words goes first.
_LATER_WEIGHS_MORE: Final = 0.02
# A document that became visible while a search ran may have been seen half. Clocks of processes differ by less.
_CLOCKS_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that a search brought."""

    key: str
    document_id: str
    version: str
    uri: str
    score: float


Ranking = Sequence[Candidate]
"""Best first."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of candidates, looked up after they were found: records by URI, holds, and when the search began."""

    records: Mapping[str, StoredDocument]
    held: "set[tuple[str, str]]"
    groups: Sequence[Sequence[str]]
    began_ms: int

    def is_current(self, candidate: Candidate) -> bool:
        """Whether its document's record names its version."""
        record = self.records.get(candidate.uri)
        return record is not None and record.passages > 0 and record.version == candidate.version

    def is_held(self, candidate: Candidate) -> bool:
        """Whether the sources that are asked for hold its document."""
        return all(any((source, candidate.uri) in self.held for source in group) for group in self.groups)

    def is_ownerless(self, candidate: Candidate) -> bool:
        """Whether its document's record knows nothing of its version: then it never will."""
        record = self.records.get(candidate.uri)
        return record is None or candidate.version not in (record.version, record.other_version)

    def is_fresh(self, candidate: Candidate) -> bool:
        """Whether its document may have become visible while the search ran."""
        return self.records[candidate.uri].ingest_time_ms > self.began_ms - _CLOCKS_MS


@dataclass(slots=True)
class Lessons:
    """What the next attempt at a search leaves out, and which versions the ones before saw whole.

    `versions` says of each the URI of its document: one that was left out as unfinished is the document's as soon as
    the record says so, and by then the version that was shown in its place may be deleted. So as long as any is left
    out, its record is looked up with those of the candidates.
    """

    versions: dict[str, str] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    strangers: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)

    def learn(self, rankings: Sequence[Ranking], facts: Facts, *, depth: int) -> bool:
        """Takes in what an attempt brought; says whether another one would bring more."""
        again = False
        for ranking in rankings:
            left_out = [c for c in ranking if not (facts.is_current(c) and facts.is_held(c))]
            again |= len(ranking) >= depth and bool(left_out)
            again |= any(self._was_replaced_meanwhile(candidate, facts) for candidate in left_out)
            for candidate in left_out:
                self._leave_out(candidate, facts)
        finished = {record.version for record in facts.records.values() if record.version in self.versions}
        again |= bool(finished - self.whole)
        for version in finished:
            del self.versions[version]
        shown = {c.version: facts.is_fresh(c) for ranking in rankings for c in ranking if facts.is_current(c)}
        again |= any(fresh and version not in self.whole for version, fresh in shown.items())
        self.whole |= shown.keys()
        return again

    def _was_replaced_meanwhile(self, candidate: Candidate, facts: Facts) -> bool:
        """Whether its document is there by another version, which the search may have been too early to see."""
        record = facts.records.get(candidate.uri)
        there = record is not None and record.passages > 0 and record.version not in (candidate.version, *self.whole)
        return there and facts.is_fresh(candidate)

    def _leave_out(self, candidate: Candidate, facts: Facts) -> None:
        if facts.is_current(candidate):
            self.strangers.add(candidate.document_id)
        elif "." in candidate.version:  # the name of one attempt to store one document
            self.versions[candidate.version] = candidate.uri
        else:
            self.keys.add(candidate.key)


def visible(ranking: Ranking, facts: Facts) -> Ranking:
    """The candidates that are there."""
    return [candidate for candidate in ranking if facts.is_current(candidate) and facts.is_held(candidate)]


def lookups(project: str, rankings: Sequence[Ranking], groups: Sequence[Sequence[str]]) -> Sequence[Hold]:
    """What has to be looked up to know which candidates the sources hold."""
    documents = {candidate.uri: candidate.document_id for ranking in rankings for candidate in ranking}
    sources = {source for group in groups for source in group}
    return [Hold(project, source, documents[uri], uri) for source in sorted(sources) for uri in documents]


def fuse(rankings: Sequence[Ranking]) -> Ranking:
    """One ranking of all, by meaning first and by words last; the score of a single one stays as it is."""
    if len(rankings) == 1:
        return rankings[0]
    scores: dict[str, float] = {}
    candidates: dict[str, Candidate] = {}
    for place, ranking in enumerate(rankings):
        for rank, candidate in enumerate(ranking, start=1):
            score = (1 + place * _LATER_WEIGHS_MORE) / (_RRF_K + rank)
            scores[candidate.key] = scores.get(candidate.key, 0.0) + score
            candidates[candidate.key] = candidate
    order = sorted(scores, key=scores.__getitem__, reverse=True)
    return [_scored(candidates[key], scores[key]) for key in order]


def _scored(candidate: Candidate, score: float) -> Candidate:
    return Candidate(candidate.key, candidate.document_id, candidate.version, candidate.uri, score)
