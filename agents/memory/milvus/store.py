"""`MemoryStore` on Milvus."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final, Self

from troupe.agents.memory.ids import is_id
from troupe.agents.memory.milvus.collections import CHUNK, Collections, chunks
from troupe.agents.memory.milvus.filters import all_of, equals, one_of
from troupe.agents.memory.milvus.finder import Finder
from troupe.agents.memory.milvus.holds import MilvusHolds
from troupe.agents.memory.milvus.rows import (
    DOCUMENT_FIELDS,
    PASSAGE_FIELDS,
    document_key,
    document_row,
    passage_key,
    passage_row,
    read_document,
    read_passage,
)
from troupe.agents.memory.settings import MemorySettings
from troupe.agents.memory.store import Counts, FoundPassage, Query, StoredDocument, StoredPassage

_MAX_BROKEN_OFF: Final = 1_000


class MilvusStore:
    """Keeps passages, partitioned by project, documents' records and what sources hold."""

    def __init__(self, *, uri: str, settings: MemorySettings) -> None:
        self._collections = Collections(uri=uri, settings=settings)
        self.holds = MilvusHolds(self._collections)
        self._finder = Finder(self._collections, self.holds, candidates=settings.candidates)

    async def __aenter__(self) -> Self:
        await self._collections.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._collections.__aexit__()

    async def check(self) -> None:
        """Returns when Milvus answers; for health."""
        await self._collections.check()

    async def find_documents(self, project: str, uris: Sequence[str]) -> Mapping[str, StoredDocument]:
        """The records of URIs, by URI, also of those that have no passages yet."""
        keys = [document_key(project, uri) for uri in uris]
        rows = await self._collections.get(self._collections.documents, keys, DOCUMENT_FIELDS) if keys else []
        return {row["uri"]: read_document(row) for row in rows}

    async def get_documents(self, project: str, document_ids: Sequence[str]) -> Sequence[StoredDocument]:
        """The records of ids, also of those that have no passages yet."""
        found: list[StoredDocument] = []
        for ids in chunks(sorted({document_id for document_id in document_ids if is_id(document_id)})):
            clause = all_of([equals("project", project), one_of("document_id", ids)])
            rows = await self._collections.query(self._collections.documents, clause, DOCUMENT_FIELDS, limit=len(ids))
            found += map(read_document, rows)
        return found

    async def list_documents(self, project: str, *, after_uri: str, limit: int) -> Sequence[StoredDocument]:
        """Documents in the order of their URIs, from the first after `after_uri`."""
        rows = await self._page(project, DOCUMENT_FIELDS, after=document_key(project, after_uri), limit=limit)
        return [read_document(row) for row in rows]

    async def prepare(self, model: str, dimensions: int) -> None:
        """Makes room for the vectors of a model; comes before anything is put."""
        await self._collections.prepare(model, dimensions)

    async def put_passages(self, passages: Sequence[StoredPassage], vectors: Sequence[Sequence[float]]) -> None:
        """Stores passages, in place of those with the same version and number."""
        layout = await self._collections.layout()
        assert layout is not None, "`prepare` comes first"
        rows = await asyncio.to_thread(
            lambda: [passage_row(p, v, layout) for p, v in zip(passages, vectors, strict=True)]
        )
        await self._collections.upsert(self._collections.passages, rows)

    async def put_documents(self, documents: Sequence[StoredDocument]) -> None:
        """Stores documents' records, in place of those with the same URIs."""
        await self._collections.upsert(self._collections.documents, [document_row(each) for each in documents])

    async def delete_passages(self, document_id: str, version: str, passages: int) -> None:
        """Deletes the passages of one version of a document."""
        for numbers in chunks(range(passages)):
            keys = [passage_key(document_id, version, number) for number in numbers]
            await self._collections.delete(self._collections.passages, keys)

    async def settle(self) -> None:
        """Has what is new indexed."""
        await self._collections.settle()

    async def delete_records(self, documents: Sequence[StoredDocument]) -> None:
        """Deletes documents' records; their passages go before."""
        keys = [document_key(document.project, document.uri) for document in documents]
        await self._collections.delete(self._collections.documents, keys)

    async def list_broken_off(self) -> Sequence[StoredDocument]:
        """Some records, of all projects, that name passages besides."""
        collection = self._collections.documents
        rows = await self._collections.query(collection, 'other_version != ""', DOCUMENT_FIELDS, limit=_MAX_BROKEN_OFF)
        return [read_document(row) for row in rows]

    async def passages(self, document: StoredDocument, start: int, end: int) -> AsyncIterator[StoredPassage]:
        """The passages of a document that touch a range of its text, and some more, in order."""
        first = await self._first_after(document, start) if document.passages > CHUNK else 0
        for numbers in chunks(range(first, document.passages)):
            rows = await self._passages_of(document, numbers, PASSAGE_FIELDS)
            for row in sorted(rows, key=lambda row: int(row["number"])):
                yield read_passage(row)
            if not rows or max(row["end_offset"] for row in rows) >= end:
                return

    async def search(self, query: Query) -> Sequence[FoundPassage]:
        """The passages that bear on the query, best first."""
        return await self._finder.search(query)

    async def count(self, project: str) -> Counts:
        """What the project holds, summed over the records: milvus-lite counts passages by reading them all."""
        layout = await self._collections.layout()
        if layout is None:
            return Counts(0, 0, "", 0)
        documents, passages, after = 0, 0, document_key(project, "")
        while rows := await self._page(project, ["key", "passages"], after=after, limit=CHUNK):
            documents += len(rows)
            passages += sum(row["passages"] for row in rows)
            after = rows[-1]["key"]
        return Counts(documents, passages, layout.model, layout.dimensions)

    async def _passages_of(
        self, document: StoredDocument, numbers: Iterable[int], fields: Sequence[str]
    ) -> Sequence[Mapping[str, Any]]:
        keys = [passage_key(document.document_id, document.version, number) for number in numbers]
        return await self._collections.get(self._collections.passages, keys, fields)

    async def _first_after(self, document: StoredDocument, start: int) -> int:
        """The number of the first passage that ends after an offset, by bisection."""
        low, high = 0, document.passages
        while low < high:
            middle = (low + high) // 2
            rows = await self._passages_of(document, [middle], ["end_offset"])
            if rows and rows[0]["end_offset"] <= start:
                low = middle + 1
            else:
                high = middle
        return low

    async def _page(
        self, project: str, fields: Sequence[str], *, after: str, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """The first records by key after `after`, without those that have no passages."""
        clause = all_of([equals("project", project), "passages > 0"])
        return await self._collections.page(self._collections.documents, clause, fields, after=after, limit=limit)
