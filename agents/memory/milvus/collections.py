"""The collections as the adapters use them: made and loaded when needed, read by key or page, written, deleted."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self, TypeVar

from troupe.agents.memory.milvus import schema
from troupe.agents.memory.milvus.adoption import adopt
from troupe.agents.memory.milvus.connection import MilvusConnection, MilvusError
from troupe.agents.memory.milvus.filters import all_of, one_of, quoted
from troupe.agents.memory.milvus.schema import Layout
from troupe.agents.memory.settings import MemorySettings
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger

T = TypeVar("T")

CHUNK: Final = 1_000  # rows a call; Milvus answers no more than 16,384
_SETTLE_AT_ONCE: Final = 1_000
_SETTLE_AT_END: Final = 100
# Collection not found, not loaded, not fully loaded.
_NOT_LOADED: Final = (100, 101, 103)
_PREPARE_ATTEMPTS: Final = 20
_PREPARE_PAUSE_SECONDS: Final = 0.25


class Collections:
    """Passages in one collection, documents' records in another, what sources hold in a third.

    They are made when the first passages come, for the vectors that they come with.
    """

    def __init__(self, *, uri: str, settings: MemorySettings) -> None:
        self.passages = f"{settings.collection}_passages"
        self.documents = f"{settings.collection}_documents"
        self.sources = f"{settings.collection}_sources"
        self.timeout = settings.milvus_timeout_seconds
        self.consistency = settings.consistency
        self._connection = MilvusConnection(
            uri=uri, token=settings.milvus_token.get_secret_value(), timeout_seconds=self.timeout
        )
        self._layout: Layout | None = None
        self._unsettled = _SETTLE_AT_END  # what a process before this one left is not known
        self._preparing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.__aexit__()

    async def check(self) -> None:
        """Returns when Milvus answers."""
        await self._connection.call(lambda client: client.get_server_version(timeout=self.timeout))

    async def prepare(self, model: str, dimensions: int) -> None:
        """Makes the collections for the vectors of a model.

        Raises:
            TroupeError: MODEL_REFUSED when what is stored was embedded by another model.
        """
        layout = await self.layout()
        if layout is None:
            async with self._preparing:
                layout = self._layout = await self._prepare(Layout(model, dimensions, hybrid=True))
        assert layout is not None
        self.check_model(layout, model, dimensions)

    async def layout(self) -> Layout | None:
        """The layout of what is stored, loaded; None before the first passages."""
        if self._layout is None:
            async with self._preparing:
                if self._layout is None:
                    self._layout = await self._prepare(None)
        return self._layout

    def check_model(self, layout: Layout, model: str, dimensions: int) -> None:
        """Refuses vectors that cannot be compared with those that are stored."""
        if (layout.model, layout.dimensions) != (model, dimensions):
            raise TroupeError(
                ErrorReason.ERROR_REASON_MODEL_REFUSED,
                f"collection `{self.passages}` holds {layout.dimensions}-component vectors of model {layout.model!r},"
                f" but {model!r} gives {dimensions}; go back to that model, or set `agents.memory.collection` to"
                " another name and ingest again",
            )

    async def get(self, collection: str, keys: Sequence[str], fields: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Rows by primary key, in no order. This form alone makes milvus-lite look them up."""
        rows: list[Mapping[str, Any]] = []
        for some in chunks(keys):
            rows += await self.query(collection, one_of("key", some), fields, limit=len(some))
        return rows

    async def page(
        self, collection: str, clause: str, fields: Sequence[str], *, after: str, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """The first rows by key after `after`; only as an iterator's page are rows sorted."""
        clause = all_of([clause, f"key > {quoted(after)}"])
        return await self.query(collection, clause, fields, limit=limit, iterator="True")

    async def query(
        self, collection: str, clause: str, fields: Sequence[str], *, limit: int, **options: str
    ) -> Sequence[Mapping[str, Any]]:
        """Rows that fulfil a clause."""
        if await self.layout() is None:
            return []
        options_ = {"output_fields": list(fields), "limit": limit, "timeout": self.timeout, **options}
        options_["consistency_level"] = "Strong"  # servers before 2.4 do not go by that of the collection
        return await self.call(lambda client: list(client.query(collection, filter=clause, **options_)))

    async def upsert(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Stores rows, in place of those with the same keys; `prepare` comes first."""
        for some in chunks(rows):
            await self.call(partial(_upsert, collection=collection, rows=list(some), timeout=self.timeout))
        if collection == self.passages:
            self._unsettled += len(rows)
            if self._unsettled >= _SETTLE_AT_ONCE:
                await self._flush()

    async def delete(self, collection: str, keys: Sequence[str]) -> None:
        """Deletes rows by primary key."""
        if await self.layout() is None:
            return
        for some in chunks(keys):
            clause = one_of("key", some)
            await self.call(partial(_delete, collection=collection, clause=clause, timeout=self.timeout))

    async def settle(self) -> None:
        """Has milvus-lite index what is new: until then it looks through it in Python."""
        if self._unsettled >= _SETTLE_AT_END:
            await self._flush()

    async def call(self, work: Callable[[Any], T]) -> T:
        """Runs work with Milvus' client in a thread; collections that are not loaded are loaded."""
        try:
            return await self._connection.call(work)
        except MilvusError as error:
            if error.code not in _NOT_LOADED:
                raise self._connection.unavailable(f"refuses: {error}") from error
        # A restarted server may have released its collections, or lost them with its disk.
        self._layout = None
        if await self.layout() is None:
            raise self._connection.unavailable("lost its collections; the next ingest makes them again")
        try:
            return await self._connection.call(work)
        except MilvusError as error:
            raise self._connection.unavailable(f"refuses: {error}") from error

    async def _flush(self) -> None:
        layout, self._unsettled = await self.layout(), 0
        if layout and layout.lite:
            for collection in (self.passages, self.documents, self.sources):
                await self.call(partial(_flush, collection=collection, timeout=self.timeout))

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
        timeout = self.timeout
        there = {name: client.has_collection(name, timeout=timeout) for name in (self.documents, self.passages)}
        if wanted is None and not all(there.values()):
            return None
        version = client.get_server_version(timeout=timeout)
        bm25 = schema.has_bm25(version)
        if not there[self.documents]:
            schema.create_documents(client, self.documents, timeout, partitioned=bm25)
        schema.make_searchable(client, self.documents, timeout)
        if not there[self.passages] and wanted is not None:
            if not bm25:
                get_logger().warning("this Milvus has no BM25, which came with 2.5: search is by meaning only")
            made = replace(wanted, hybrid=bm25, marks_as_text=schema.is_lite(version))
            schema.create_passages(client, self.passages, made, self.consistency, timeout)
        schema.make_searchable(client, self.passages, timeout)
        if not client.has_collection(self.sources, timeout=timeout):
            schema.create_sources(client, self.sources, timeout)
        schema.make_searchable(client, self.sources, timeout)
        adopt(client, documents=self.documents, sources=self.sources, timeout=timeout)
        model = schema.read_model(client, self.documents, timeout)
        if model is None and wanted is None:
            return None
        if model is None and wanted is not None:
            schema.write_model(client, self.documents, wanted.model, timeout)
            model = wanted.model
        assert model is not None
        return schema.read_layout(client, self.passages, model, timeout)


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many as one call takes, one after the other."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def _upsert(client: Any, *, collection: str, rows: list[Mapping[str, Any]], timeout: float) -> None:
    client.upsert(collection, rows, timeout=timeout)


def _delete(client: Any, *, collection: str, clause: str, timeout: float) -> None:
    client.delete(collection, filter=clause, timeout=timeout)


def _flush(client: Any, *, collection: str, timeout: float) -> None:
    client.flush(collection, timeout=timeout)
