"""`MemoryStore` on Milvus."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
_SCAN_PAGE: Final = 1_000
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
        self._connection = MilvusConnection(uri=uri, token=settings.milvus_token, timeout_seconds=timeout)
        self._timeout = timeout
        self._layout: Layout | None = None
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
        """The document of a URI."""
        clause = equals("key", document_key(project, uri))
        return await self._one_document(all_of([equals("project", project), clause]))

    async def get_document(self, project: str, document_id: str) -> StoredDocument | None:
        """The document of an id."""
        if not is_id(document_id):
            return None
        return await self._one_document(all_of([equals("project", project), equals("document_id", document_id)]))

    async def list_documents(self, project: str, *, after_uri: str, limit: int) -> Sequence[StoredDocument]:
        """Documents in the order of their URIs, from the first after `after_uri`."""
        key = document_key(project, after_uri)
        rows = await self._page(
            self._documents, equals("project", project), key="key", after=key, fields=DOCUMENT_FIELDS, limit=limit
        )
        return [read_document(row) for row in rows]

    async def versions(self, project: str, document_id: str) -> Mapping[str, int]:
        """How many passages of each version are stored of a document."""
        counts: dict[str, int] = {}
        async for row in self._scan(self._of_document(project, document_id), ["version"]):
            counts[row["version"]] = counts.get(row["version"], 0) + 1
        return counts

    async def put_passages(
        self, passages: Sequence[StoredPassage], vectors: Sequence[Sequence[float]], model: str
    ) -> None:
        """Stores passages, in place of those with the same ids."""
        layout = await self._prepared(model, len(vectors[0]))
        rows = await asyncio.to_thread(
            lambda: [passage_row(p, v, hybrid=layout.hybrid) for p, v in zip(passages, vectors, strict=True)]
        )
        await self._call(lambda client: client.upsert(self._passages, rows, timeout=self._timeout))

    async def put_document(self, document: StoredDocument) -> None:
        """Stores a document's record, in place of the one with the same URI."""
        row = document_row(document)
        await self._call(lambda client: client.upsert(self._documents, [row], timeout=self._timeout))

    async def delete_versions(self, project: str, document_id: str, versions: Sequence[str]) -> None:
        """Deletes the passages of a document that have one of the versions."""
        if versions:
            clause = all_of([self._of_document(project, document_id), one_of("version", versions)])
            await self._delete(self._passages, clause)

    async def delete_documents(self, project: str, document_ids: Sequence[str]) -> int:
        """Deletes documents with their passages, the records last: what is left of a failure can be deleted again."""
        ids = sorted({document_id for document_id in document_ids if is_id(document_id)})
        if not ids or await self._stored_layout() is None:
            return 0
        clause = all_of([equals("project", project), one_of("document_id", ids)])
        rows = await self._query(self._documents, clause, ["document_id"], len(ids))
        await self._delete(self._passages, clause)
        await self._delete(self._documents, clause)
        return len(rows)

    async def passages(self, project: str, document_id: str, start: int, end: int) -> AsyncIterator[StoredPassage]:
        """The passages of a document that touch a range of its text, in no order."""
        within = f"start_offset < {end} and end_offset > {start}"
        async for row in self._scan(all_of([self._of_document(project, document_id), within]), PASSAGE_FIELDS):
            yield read_passage(row)

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
        return [FoundPassage(read_passage(hit["entity"]), hit["distance"]) for hit in hits]

    async def count(self, project: str) -> Counts:
        """What the project holds."""
        layout = await self._stored_layout()
        if layout is None:
            return Counts(0, 0, "", 0)
        documents, passages = await asyncio.gather(
            *(self._count(name, project) for name in (self._documents, self._passages))
        )
        return Counts(documents, passages, layout.model, layout.dimensions)

    def _search(self, client: Any, layout: Layout, query: Query, clause: str) -> list[dict[str, Any]]:
        options = {"limit": query.limit, "output_fields": PASSAGE_FIELDS, "timeout": self._timeout}
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

    async def _one_document(self, clause: str) -> StoredDocument | None:
        rows = await self._query(self._documents, clause, DOCUMENT_FIELDS, 1)
        return read_document(rows[0]) if rows else None

    async def _count(self, collection: str, project: str) -> int:
        clause = equals("project", project)
        rows: Any = await self._call(
            lambda client: client.query(collection, filter=clause, output_fields=["count(*)"], timeout=self._timeout)
        )
        return int(rows[0]["count(*)"])

    async def _scan(self, clause: str, fields: Sequence[str]) -> AsyncIterator[Mapping[str, Any]]:
        """All rows of passages, in pages: Milvus answers no more than 16,384 rows at once."""
        after = ""
        while True:
            wanted = ["passage_id", *fields]
            rows = await self._page(
                self._passages, clause, key="passage_id", after=after, fields=wanted, limit=_SCAN_PAGE
            )
            for row in rows:
                yield row
            if len(rows) < _SCAN_PAGE:
                return
            after = rows[-1]["passage_id"]

    async def _page(
        self, collection: str, clause: str, *, key: str, after: str, fields: Sequence[str], limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """The first rows by primary key after `after`; only as an iterator's page are rows sorted."""
        beyond = all_of([clause, f"{key} > {quoted(after)}"])
        return await self._query(collection, beyond, fields, limit, iterator="True")

    async def _query(
        self, collection: str, clause: str, fields: Sequence[str], limit: int, **options: str
    ) -> Sequence[Mapping[str, Any]]:
        if await self._stored_layout() is None:
            return []
        return await self._call(
            lambda client: list(
                client.query(
                    collection,
                    filter=clause,
                    output_fields=list(fields),
                    limit=limit,
                    timeout=self._timeout,
                    **options,
                )
            )
        )

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

    async def _prepared(self, model: str, dimensions: int) -> Layout:
        """The layout for passages of a model; creates the collections when there are none."""
        layout = await self._stored_layout()
        if layout is None:
            async with self._preparing:
                layout = self._layout = await self._prepare(Layout(model, dimensions, hybrid=True))
        assert layout is not None
        self._check_model(layout, model, dimensions)
        return layout

    async def _prepare(self, wanted: Layout | None) -> Layout | None:
        """Tries until the collections are there: other processes may be making them at the same moment."""
        for attempt in range(_PREPARE_ATTEMPTS):
            try:
                return await self._connection.call(partial(self._prepare_once, wanted=wanted))
            except MilvusError as error:
                problem = error
            if wanted and wanted.hybrid and "function" in str(problem).lower():
                get_logger().warning(
                    "this Milvus has no BM25 function: search is by meaning only", problem=str(problem)
                )
                wanted = Layout(wanted.model, wanted.dimensions, hybrid=False)
            await asyncio.sleep(_PREPARE_PAUSE_SECONDS if attempt else 0)
        raise self._connection.unavailable(f"cannot prepare its collections: {problem}")

    def _prepare_once(self, client: Any, wanted: Layout | None) -> Layout | None:
        timeout = self._timeout
        there = {name: client.has_collection(name, timeout=timeout) for name in (self._documents, self._passages)}
        if wanted is None and not all(there.values()):
            return None
        if not there[self._documents]:
            schema.create_documents(client, self._documents, timeout)
        schema.make_searchable(client, self._documents, timeout)
        if not there[self._passages] and wanted is not None:
            schema.create_passages(client, self._passages, wanted, self._settings.consistency, timeout)
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

    @staticmethod
    def _of_document(project: str, document_id: str) -> str:
        return all_of([equals("project", project), equals("document_id", document_id)])
