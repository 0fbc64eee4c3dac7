"""`HoldStore` on Milvus: one row for each document of each source, so that two writers never overwrite each other."""

from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from troupe.agents.memory.ids import is_id
from troupe.agents.memory.milvus.collections import CHUNK, Collections, chunks
from troupe.agents.memory.milvus.filters import all_of, equals, mark, one_of
from troupe.agents.memory.milvus.rows import HOLD_FIELDS, hold_key, hold_row, read_hold, source_start
from troupe.agents.memory.sources import SOURCE_KEY
from troupe.agents.memory.store import Hold

_MAX_ROWS: Final = 16_384  # of one answer


class MilvusHolds:
    """Keeps which sources hold which documents."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    async def put(self, holds: Sequence[Hold], *, marked: bool = False) -> None:
        """Notes that sources hold documents, which need not be stored yet."""
        await self._collections.upsert(self._collections.sources, [hold_row(hold, marked=marked) for hold in holds])

    async def drop(self, holds: Sequence[Hold]) -> None:
        """Sources hold documents no more."""
        await self._collections.delete(self._collections.sources, [hold_key(hold) for hold in holds])

    async def there(self, holds: Sequence[Hold]) -> AbstractSet[Hold]:
        """Which of these there are."""
        keys = [hold_key(hold) for hold in holds]
        rows = await self._collections.get(self._collections.sources, keys, HOLD_FIELDS) if keys else []
        return {read_hold(row) for row in rows}

    async def of_documents(self, project: str, document_ids: Sequence[str]) -> Sequence[Hold]:
        """All that hold some of the documents."""
        found: list[Hold] = []
        for ids in chunks(sorted({document_id for document_id in document_ids if is_id(document_id)})):
            clause = all_of([equals("project", project), one_of("document_id", ids)])
            after = ""
            while rows := await self._collections.page(
                self._collections.sources, clause, ["key", *HOLD_FIELDS], after=after, limit=CHUNK
            ):
                found += map(read_hold, rows)
                after = rows[-1]["key"]
        return found

    async def of_source(self, project: str, source: str, *, after_uri: str, limit: int) -> Sequence[Hold]:
        """What a source holds, in the order of the URIs, from the first after `after_uri`."""
        clause = all_of([equals("project", project), equals("source_mark", mark(SOURCE_KEY, source))])
        after = source_start(project, source) + after_uri
        rows = await self._collections.page(self._collections.sources, clause, HOLD_FIELDS, after=after, limit=limit)
        return [read_hold(row) for row in rows]

    async def of_project(self, project: str) -> AsyncIterator[Sequence[Hold]]:
        """All that sources hold, some at a time, those of one source one after the other."""
        clause, after = equals("project", project), f"{project}/"
        while rows := await self._collections.page(
            self._collections.sources, clause, ["key", *HOLD_FIELDS], after=after, limit=CHUNK
        ):
            yield [read_hold(row) for row in rows]
            after = rows[-1]["key"]

    async def outside(self, project: str, sources: Sequence[str]) -> Sequence[str] | None:
        """Ids of documents of these sources that neither their URIs nor marks tell; None: too many."""
        marks = one_of("source_mark", (mark(SOURCE_KEY, source) for source in sources))
        clause = all_of([equals("project", project), marks, "outside == 1"])
        rows = await self._collections.query(self._collections.sources, clause, ["document_id"], limit=_MAX_ROWS)
        return None if len(rows) == _MAX_ROWS else sorted({row["document_id"] for row in rows})
