"""`MemoryStore` on Milvus."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self, TypeVar

from agents.memory.ids import is_id
from agents.memory.milvus import schema
from agents.memory.milvus.connection import MilvusConnection, MilvusError
from agents.memory.milvus.filters import all_of, equals, has_marks, one_of, quoted
from agents.memory.milvus.rows import (
    DOCUMENT_FIELDS,
    PASSAGE_FIELDS,
    document_key,
    document_row,
    passage_key,
    passage_row,
    read_document,
    read_passage,
)
from agents.memory.milvus.schema import Layout
from agents.memory.settings import MemorySettings
from agents.memory.store import Counts, FoundPassage, Query, StoredDocument, StoredPassage
from agents.memory.terms import terms
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger

T = TypeVar("T")

# Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", 2009.
_RRF_K: Final = 60
_CHUNK: Final = 1_000  # rows a call; Milvus answers no more than 16,384
_SETTLE_AT_ONCE: Final = 1_000
_SETTLE_AT_END: Final = 100
# Collection not found, not loaded, not fully loaded.
_NOT_LOADED: Final = (100, 101, 103)
_PREPARE_ATTEMPTS: Final = 20
_PREPARE_PAUSE_SECONDS: Final = 0.25


class MilvusStore:
    """Keeps passages in one collection, partitioned by project, and documents' records in another.

    The collections are made when the first passages come, for the vectors that they come with.
    """

    def __init__(self, *, uri: str, settings: MemorySettings) -> None:
        self._settings = settings
        self._passages = f"{settings.collection}_passages"
        self._documents = f"{settings.collection}_documents"
        timeout = settings.milvus_timeout_seconds
        self._connection = MilvusConnection(
            uri=uri, token=settings.milvus_token.get_secret_value(), timeout_seconds=timeout
        )
        self._timeout = timeout
        self._layout: Layout | None = None
        self._unsettled = _SETTLE_AT_END  # what a process before this one left is not known
        self._preparing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.__aexit__()

    async def check(self) -> None:
        """Returns when Milvus answers; for health."""
        await self._connection.call(lambda client: client.get_server_version(timeout=self._timeout))

    async def find_document(self, project: str, uri: str) -> StoredDocument | None:
        """The record of a URI, also while it has no passages yet."""
        rows = await self._get(self._documents, [document_key(project, uri)], DOCUMENT_FIELDS)
        return read_document(rows[0]) if rows else None

    async def get_document(self, project: str, document_id: str) -> StoredDocument | None:
        """The document of an id."""
        found = await self._documents_of(project, [document_id])
        return next((document for document in found if document.passages), None)

    async def list_documents(self, project: str, *, after_uri: str, limit: int) -> Sequence[StoredDocument]:
        """Documents in the order of their URIs, from the first after `after_uri`."""
        rows = await self._page(project, DOCUMENT_FIELDS, after=document_key(project, after_uri), limit=limit)
        return [read_document(row) for row in rows]

    async def prepare(self, model: str, dimensions: int) -> None:
        """Makes room for the vectors of a model; comes before anything is put."""
        layout = await self._stored_layout()
        if layout is None:
            async with self._preparing:
                layout = self._layout = await self._prepare(Layout(model, dimensions, hybrid=True))
        assert layout is not None
        self._check_model(layout, model, dimensions)

    async def put_passages(self, passages: Sequence[StoredPassage], vectors: Sequence[Sequence[float]]) -> None:
        """Stores passages, in place of those with the same version and number."""
        layout = await self._stored_layout()
        assert layout is not None, "`prepare` comes first"
        rows = await asyncio.to_thread(
            lambda: [passage_row(p, v, hybrid=layout.hybrid) for p, v in zip(passages, vectors, strict=True)]
        )
        await self._call(lambda client: client.upsert(self._passages, rows, timeout=self._timeout))
        self._unsettled += len(rows)
        if self._unsettled >= _SETTLE_AT_ONCE:
            await self._flush()

    async def put_document(self, document: StoredDocument) -> None:
        """Stores a document's record, in place of the one with the same URI."""
        row = document_row(document)
        await self._call(lambda client: client.upsert(self._documents, [row], timeout=self._timeout))

    async def delete_passages(self, document_id: str, version: str, passages: int) -> None:
        """Deletes the passages of one version of a document."""
        for numbers in _chunks(range(passages)):
            keys = [passage_key(document_id, version, number) for number in numbers]
            await self._delete(self._passages, one_of("key", keys))

    async def settle(self) -> None:
        """Has milvus-lite index what is new: until then it compares every vector in Python."""
        if self._unsettled >= _SETTLE_AT_END:
            await self._flush()

    async def delete_documents(self, project: str, document_ids: Sequence[str]) -> int:
        """Deletes documents with their passages, the records last: what is left of a failure can be deleted again."""
        found = await self._documents_of(project, document_ids)
        for document in found:
            await self.delete_passages(document.document_id, document.version, document.passages)
            await self.delete_passages(document.document_id, document.other_version, document.other_passages)
        if found:
            keys = [document_key(project, document.uri) for document in found]
            await self._delete(self._documents, one_of("key", keys))
        return sum(document.passages > 0 for document in found)

    async def passages(self, document: StoredDocument, start: int, end: int) -> AsyncIterator[StoredPassage]:
        """The passages of a document that touch a range of its text, and some more, in order."""
        first = await self._first_after(document, start) if document.passages > _CHUNK else 0
        for numbers in _chunks(range(first, document.passages)):
            rows = await self._passages_of(document, numbers, PASSAGE_FIELDS)
            for row in sorted(rows, key=lambda row: int(row["number"])):
                yield read_passage(row)
            if not rows or max(row["end_offset"] for row in rows) >= end:
                return

    async def search(self, query: Query) -> Sequence[FoundPassage]:
        """The passages that bear on the query, best first."""
        layout = await self._stored_layout()
        ids = [document_id for document_id in query.document_ids if is_id(document_id)]
        if layout is None or (query.document_ids and not ids):
            return []
        self._check_model(layout, query.model, len(query.vector))
        only = one_of("document_id", ids) if ids else ""
        clause = all_of([equals("project", query.project), only, has_marks(query.metadata)])
        hits = await self._call(lambda client: self._search(client, layout, query, clause))
        # While a document is replaced, a passage that did not change is there twice.
        best: dict[str, dict[str, Any]] = {}
        for hit in hits:
            best.setdefault(hit["entity"]["passage_id"], hit)
        return [FoundPassage(read_passage(hit["entity"]), hit["distance"]) for hit in best.values()]

    async def count(self, project: str) -> Counts:
        """What the project holds, summed over the records: milvus-lite counts passages by reading them all."""
        layout = await self._stored_layout()
        if layout is None:
            return Counts(0, 0, "", 0)
        documents, passages, after = 0, 0, document_key(project, "")
        while rows := await self._page(project, ["key", "passages"], after=after, limit=_CHUNK):
            documents += len(rows)
            passages += sum(row["passages"] for row in rows)
            after = rows[-1]["key"]
        return Counts(documents, passages, layout.model, layout.dimensions)

    def _search(self, client: Any, layout: Layout, query: Query, clause: str) -> list[dict[str, Any]]:
        options = {"limit": query.limit, "output_fields": PASSAGE_FIELDS, "timeout": self._timeout}
        options["consistency_level"] = self._settings.consistency
        words = terms(query.text)
        vector = list(query.vector)
        if not layout.hybrid or not words:
            hits = client.search(self._passages, data=[vector], anns_field="vector", filter=clause, **options)
        else:
            from pymilvus import AnnSearchRequest, RRFRanker  # noqa: PLC0415 - takes seconds

            depth = max(self._settings.candidates, query.limit)
            meaning = AnnSearchRequest([vector], "vector", {"metric_type": "COSINE"}, depth, expr=clause)
            wording = AnnSearchRequest([words], "words", {"metric_type": "BM25"}, depth, expr=clause)
            hits = client.hybrid_search(self._passages, [meaning, wording], RRFRanker(_RRF_K), **options)
        return list(hits[0])

    async def _documents_of(self, project: str, document_ids: Sequence[str]) -> Sequence[StoredDocument]:
        ids = sorted({document_id for document_id in document_ids if is_id(document_id)})
        clause = all_of([equals("project", project), one_of("document_id", ids)])
        rows = await self._query(self._documents, clause, DOCUMENT_FIELDS, limit=len(ids)) if ids else []
        return [read_document(row) for row in rows]

    async def _passages_of(
        self, document: StoredDocument, numbers: Iterable[int], fields: Sequence[str]
    ) -> Sequence[Mapping[str, Any]]:
        keys = [passage_key(document.document_id, document.version, number) for number in numbers]
        return await self._get(self._passages, keys, fields)

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

    async def _get(self, collection: str, keys: Sequence[str], fields: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Rows by primary key, in no order. This form alone makes milvus-lite look them up."""
        return await self._query(collection, one_of("key", keys), fields, limit=len(keys))

    async def _page(
        self, project: str, fields: Sequence[str], *, after: str, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """The first records by key after `after`; only as an iterator's page are rows sorted."""
        clause = all_of([equals("project", project), "passages > 0", f"key > {quoted(after)}"])
        return await self._query(self._documents, clause, fields, limit=limit, iterator="True")

    async def _query(
        self, collection: str, clause: str, fields: Sequence[str], *, limit: int, **options: str
    ) -> Sequence[Mapping[str, Any]]:
        if await self._stored_layout() is None:
            return []
        options_ = {"output_fields": list(fields), "limit": limit, "timeout": self._timeout, **options}
        options_["consistency_level"] = "Strong"  # servers before 2.4 do not go by that of the collection
        return await self._call(lambda client: list(client.query(collection, filter=clause, **options_)))

    async def _flush(self) -> None:
        layout, self._unsettled = await self._stored_layout(), 0
        if layout and layout.lite:
            for collection in (self._passages, self._documents):
                await self._call(partial(_flush, collection=collection, timeout=self._timeout))

    async def _delete(self, collection: str, clause: str) -> None:
        await self._call(lambda client: client.delete(collection, filter=clause, timeout=self._timeout))

    async def _call(self, work: Callable[[Any], T]) -> T:
        try:
            return await self._connection.call(work)
        except MilvusError as error:
            if error.code not in _NOT_LOADED:
                raise self._connection.unavailable(f"refuses: {error}") from error
        # A restarted server may have released its collections, or lost them with its disk.
        self._layout = None
        if await self._stored_layout() is None:
            raise self._connection.unavailable("lost its collections; the next ingest makes them again")
        try:
            return await self._connection.call(work)
        except MilvusError as error:
            raise self._connection.unavailable(f"refuses: {error}") from error

    async def _stored_layout(self) -> Layout | None:
        """The layout of what is stored, loaded; None before the first passages."""
        if self._layout is None:
            async with self._preparing:
                if self._layout is None:
                    self._layout = await self._prepare(None)
        return self._layout

    async def _prepare(self, wanted: Layout | None) -> Layout | None:
        """Tries until the collections are there: other processes may be making them at the same moment."""
        for attempt in range(_PREPARE_ATTEMPTS):
            try:
                return await self._connection.call(partial(self._prepare_once, wanted=wanted))
            except MilvusError as error:
                problem = error
            await asyncio.sleep(_PREPARE_PAUSE_SECONDS if attempt else 0)
        raise self._connection.unavailable(f"cannot prepare its collections: {problem}")

    def _prepare_once(self, client: Any, wanted: Layout | None) -> Layout | None:
        timeout = self._timeout
        there = {name: client.has_collection(name, timeout=timeout) for name in (self._documents, self._passages)}
        if wanted is None and not all(there.values()):
            return None
        bm25 = schema.has_bm25(client.get_server_version(timeout=timeout))
        if not there[self._documents]:
            schema.create_documents(client, self._documents, timeout, partitioned=bm25)
        schema.make_searchable(client, self._documents, timeout)
        if not there[self._passages] and wanted is not None:
            if not bm25:
                get_logger().warning("this Milvus has no BM25, which came with 2.5: search is by meaning only")
            made = replace(wanted, hybrid=bm25)
            schema.create_passages(client, self._passages, made, self._settings.consistency, timeout)
        schema.make_searchable(client, self._passages, timeout)
        model = schema.read_model(client, self._documents, timeout)
        if model is None and wanted is None:
            return None
        if model is None and wanted is not None:
            schema.write_model(client, self._documents, wanted.model, timeout)
            model = wanted.model
        assert model is not None
        return schema.read_layout(client, self._passages, model, timeout)

    def _check_model(self, layout: Layout, model: str, dimensions: int) -> None:
        if (layout.model, layout.dimensions) != (model, dimensions):
            raise TroupeError(
                ErrorReason.ERROR_REASON_MODEL_REFUSED,
                f"collection `{self._passages}` holds {layout.dimensions}-component vectors of model {layout.model!r},"
                f" but {model!r} gives {dimensions}; go back to that model, or set `agents.memory.collection` to"
                " another name and ingest again",
            )


def _flush(client: Any, *, collection: str, timeout: float) -> None:
    client.flush(collection, timeout=timeout)


def _chunks(numbers: range) -> Iterator[range]:
    return (numbers[start : start + _CHUNK] for start in range(0, len(numbers), _CHUNK))
