"""What broken-off work left is cleared away, and what changes at the same time stays as it was changed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.support.memory_worker import SETTINGS, URI
from tests.support.milvus import MilvusServer, WordEmbedder
from troupe.agents.memory.ingestion import Ingestion
from troupe.agents.memory.membership import Membership
from troupe.agents.memory.milvus.store import MilvusStore
from troupe.agents.memory.parser import Parser
from troupe.agents.memory.removal import Removal
from troupe.agents.memory.store import StoredDocument
from troupe.api.memory.v1 import memory_service_pb2 as pb


class BusyStore(MilvusStore):
    """A store in which something happens while what was broken off is being listed."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def list_broken_off(self) -> Sequence[StoredDocument]:
        left = await super().list_broken_off()
        if self.meanwhile is not None:
            await self.meanwhile()
        return left


class Memory:
    """A memory of one document."""

    def __init__(self, store: BusyStore, parser: Parser, project: str) -> None:
        membership = Membership(store=store)
        self.store = store
        self.removal = Removal(store=store, membership=membership)
        self._project = project
        self._ingestion = Ingestion(
            store=store, membership=membership, embedder=WordEmbedder(), parser=parser, settings=SETTINGS
        )

    async def ingest(self, text: str) -> StoredDocument:
        document = pb.DocumentSource(uri=URI, content=text.encode(), media_type="text/plain")
        known = await self._ingestion.join(self._project, "", [document])
        return (await self._ingestion.ingest(self._project, "", document, known.get(URI), lambda *_: None)).document

    async def break_off(self, document: StoredDocument) -> None:
        """As an ingest does that announces its passages, and then ends."""
        await self.store.put_documents([replace(document, other_version="broken-off", other_passages=1)])

    async def delete(self, document: StoredDocument) -> None:
        await self.removal.delete(self._project, [document.document_id])

    async def documents(self) -> Sequence[StoredDocument]:
        return await self.store.list_documents(self._project, after_uri="", limit=10)


@asynccontextmanager
async def memory_of(milvus_server: MilvusServer, project: str) -> AsyncIterator[Memory]:
    async with (
        BusyStore(uri=milvus_server.uri, settings=SETTINGS) as store,
        Parser(timeout_seconds=60, memory_bytes=1 << 30) as parser,
    ):
        memory = Memory(store, parser, project)
        await memory.removal.clear(older_than_seconds=-1)  # what tests of breaking off have left
        yield memory


async def test_what_was_left_is_cleared(milvus_server: MilvusServer) -> None:
    async with memory_of(milvus_server, "clear") as memory:
        document = await memory.ingest("The lamp is lit at dusk.")
        await memory.break_off(document)
        assert await memory.removal.clear(older_than_seconds=-1) == 1
        assert await memory.documents() == [document]


async def test_a_document_that_is_deleted_meanwhile_stays_deleted(milvus_server: MilvusServer) -> None:
    async with memory_of(milvus_server, "clear-deleted") as memory:
        document = await memory.ingest("The lamp is lit at dusk.")
        await memory.break_off(document)
        memory.store.meanwhile = lambda: memory.delete(document)
        assert await memory.removal.clear(older_than_seconds=-1) == 0
        assert not await memory.documents()


@pytest.mark.parametrize("broken_off_again", [False, True])
async def test_a_document_that_is_replaced_meanwhile_stays_replaced(
    milvus_server: MilvusServer, *, broken_off_again: bool
) -> None:
    async with memory_of(milvus_server, f"clear-replaced-{broken_off_again}") as memory:
        await memory.break_off(await memory.ingest("The lamp is lit at dusk."))
        replaced: list[StoredDocument] = []

        async def replace_it() -> None:
            replaced.append(await memory.ingest("The lamp is lit at dawn."))
            if broken_off_again:
                await memory.break_off(replaced[0])

        memory.store.meanwhile = replace_it
        assert await memory.removal.clear(older_than_seconds=-1) == 0
        (document,) = await memory.documents()
        assert document.version == replaced[0].version
