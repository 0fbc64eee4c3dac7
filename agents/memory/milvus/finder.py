"""Searches that find a document from the moment on at which its record says so.

Milvus knows no transactions: passages come and go one call after the other. So the record of a document decides which
of its passages are found, and the rows of what sources hold decide which documents a source has. A search asks for
candidates, looks up what they belong to, and leaves out what is not there; where that could have cost it others, it
searches again without them.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from troupe.agents.memory.ids import is_id
from troupe.agents.memory.milvus.collections import CHUNK, Collections
from troupe.agents.memory.milvus.filters import all_of, any_of, below, equals, has_mark, has_marks, none_of, one_of
from troupe.agents.memory.milvus.fusion import Candidate, Facts, Lessons, Ranking, fuse, lookups, visible
from troupe.agents.memory.milvus.holds import MilvusHolds
from troupe.agents.memory.milvus.rows import DOCUMENT_FIELDS, PASSAGE_FIELDS, document_key, read_document, read_passage
from troupe.agents.memory.milvus.schema import ALL_LISTS, Layout
from troupe.agents.memory.sources import SOURCE_KEY, start_of
from troupe.agents.memory.store import FoundPassage, Query
from troupe.agents.memory.terms import terms

_ATTEMPTS: Final = 20
_FIELDS: Final = ["document_id", "version", "uri"]


class Finder:
    """Finds passages by meaning and, where Milvus can, by words."""

    def __init__(self, collections: Collections, holds: MilvusHolds, *, candidates: int) -> None:
        self._collections = collections
        self._holds = holds
        self._candidates = candidates

    async def search(self, query: Query) -> Sequence[FoundPassage]:
        """The passages that bear on the query, best first."""
        layout = await self._collections.layout()
        ids = [document_id for document_id in query.document_ids if is_id(document_id)]
        if layout is None or (query.document_ids and not ids):
            return []
        self._collections.check_model(layout, query.model, len(query.vector))
        only = one_of("document_id", ids) if ids else ""
        fixed = [equals("project", query.project), only, has_marks(query.metadata, as_text=layout.marks_as_text)]
        depth = max(self._candidates, query.limit)
        lessons, found = Lessons(), list[FoundPassage]()
        scope = await self._scope(query, layout, listed=False)
        for _ in range(_ATTEMPTS):
            if scope is None:
                return []
            listed = bool(lessons.strangers)
            clause = all_of([*fixed, *scope, *_but(lessons)])
            rankings, facts = await self._attempt(layout, query, clause, depth, list(lessons.versions.values()))
            again = lessons.learn(rankings, facts, depth=depth)
            if lessons.strangers and not listed:
                # Other documents lie in the folder that a source names: its own are named one by one.
                scope = await self._scope(query, layout, listed=True)
            best = fuse([visible(ranking, facts) for ranking in rankings])[: query.limit]
            found = await self._read(best)
            if not again and len(found) == len(best):
                break
        return found

    async def _attempt(
        self, layout: Layout, query: Query, clause: str, depth: int, left_out: Sequence[str]
    ) -> tuple[Sequence[Ranking], Facts]:
        """Candidates, and what is true of them and of the URIs that were left out afterwards.

        What no document will ever own is cleared away.
        """
        began_ms = time.time_ns() // 1_000_000
        rankings = await self._rank(layout, query, clause, depth)
        collections, project = self._collections, query.project
        uris = {candidate.uri for ranking in rankings for candidate in ranking}.union(left_out)
        keys = sorted(document_key(project, uri) for uri in uris)
        rows, holds = await asyncio.gather(  # Milvus takes 0.2 s for each strongly consistent answer
            collections.get(collections.documents, keys, DOCUMENT_FIELDS),
            self._holds.there(lookups(project, rankings, query.sources)),
        )
        records = {row["uri"]: read_document(row) for row in rows}
        facts = Facts(records, {(hold.source, hold.uri) for hold in holds}, query.sources, began_ms)
        if ownerless := sorted({c.key for ranking in rankings for c in ranking if facts.is_ownerless(c)}):
            await collections.delete(collections.passages, ownerless)
        return rankings, facts

    async def _rank(self, layout: Layout, query: Query, clause: str, depth: int) -> Sequence[Ranking]:
        """By meaning, and by words where there are any."""
        common = {"filter": clause, "limit": depth}
        params = {"metric_type": "COSINE", "params": ALL_LISTS if layout.lite else {}}
        meaning = self._candidates_by("vector", list(query.vector), search_params=params, **common)
        words = terms(query.text)
        if not layout.hybrid or not words:
            return [await meaning]
        wording = self._candidates_by("words", words, search_params={"metric_type": "BM25"}, **common)
        return await asyncio.gather(meaning, wording)

    async def _candidates_by(self, field: str, value: object, **options: Any) -> Ranking:
        collections = self._collections
        options |= {"output_fields": _FIELDS, "timeout": collections.timeout}
        options["consistency_level"] = collections.consistency
        hits = await collections.call(
            lambda client: client.search(collections.passages, data=[value], anns_field=field, **options)[0]
        )
        return [
            Candidate(key=_key_of(hit), score=hit["distance"], **{name: hit["entity"][name] for name in _FIELDS})
            for hit in hits
        ]

    async def _read(self, best: Ranking) -> list[FoundPassage]:
        """The passages themselves, but for those that were deleted meanwhile."""
        collections = self._collections
        keys = [candidate.key for candidate in best]
        rows = await collections.get(collections.passages, keys, ["key", *PASSAGE_FIELDS]) if keys else []
        by_key = {row["key"]: read_passage(row) for row in rows}
        return [FoundPassage(by_key[each.key], each.score) for each in best if each.key in by_key]

    async def _scope(self, query: Query, layout: Layout, *, listed: bool) -> Sequence[str] | None:
        """One clause for each group of sources; None when one of them holds nothing.

        They let through all that the sources hold; others too, unless it is `listed`.
        """
        clauses: list[str] = []
        for sources in query.sources:
            told = [] if listed else [_told(source, layout) for source in sources]
            ids = None if listed else await self._holds.outside(query.project, sources)
            if ids is None:
                ids = await self._all_of(query.project, sources)
            if not told and not ids:
                return None
            clauses.append(any_of([*told, one_of("document_id", ids) if ids else ""]))
        return clauses

    async def _all_of(self, project: str, sources: Sequence[str]) -> Sequence[str]:
        ids: set[str] = set()
        for source in sources:
            after = ""
            while holds := await self._holds.of_source(project, source, after_uri=after, limit=CHUNK):
                ids.update(hold.document_id for hold in holds)
                after = holds[-1].uri
        return sorted(ids)


def _but(lessons: Lessons) -> Sequence[str]:
    strangers = none_of("document_id", lessons.strangers)
    return [none_of("version", lessons.versions), none_of("key", lessons.keys), strangers]


def _told(source: str, layout: Layout) -> str:
    """What a source holds as far as URIs or marks tell."""
    start = start_of(source)
    return below("uri", start) if start else has_mark(SOURCE_KEY, source, as_text=layout.marks_as_text)


def _key_of(hit: Mapping[str, Any]) -> str:
    """The primary key of what was found; Milvus 2.3 does not say what it is called."""
    return str(hit["key"] if "key" in hit else hit["id"])
