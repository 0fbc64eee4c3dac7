"""kill -9 between every two calls to Milvus: nothing half-stored is found, and what is found can be opened."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pymilvus
import pytest
import pytest_asyncio

from tests.support.killing_proxy import KillingProxy
from tests.support.memory_worker import PARTS, SETTINGS, URI, text_of
from tests.support.milvus import MilvusServer, WordEmbedder, memory
from troupe.agents.memory.membership import Membership
from troupe.agents.memory.milvus.store import MilvusStore
from troupe.agents.memory.removal import Removal
from troupe.api.memory.v1 import memory_service_pb2 as pb

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

SIGKILLED = -9
MOST_WRITES = 60


class Worker:
    """Does things to a memory, in processes that the proxy kills."""

    def __init__(self, process: asyncio.subprocess.Process, proxy: KillingProxy) -> None:
        self._process = process
        self._proxy = proxy

    async def do(self, project: str, what: str, *, kill_after: int = 0) -> int:
        """Returns the exit status; -9 when it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{self._proxy.address} {project} {what}\n".encode())
        victim = int(await self._process.stdout.readline())
        self._proxy.aim(victim, kill_after=kill_after)
        self._process.stdin.write(b"go\n")
        return int(await self._process.stdout.readline())


@pytest_asyncio.fixture
async def worker(milvus_server: MilvusServer) -> AsyncIterator[Worker]:
    async with KillingProxy(milvus_server.uri.removeprefix("http://")).running() as proxy:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.memory_worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        try:
            yield Worker(process, proxy)
        finally:
            process.stdin.close()
            await process.wait()


@pytest_asyncio.fixture
async def reader(milvus_server: MilvusServer) -> "AsyncIterator[MemoryServiceAsyncStub]":
    async with memory(milvus_server.uri, WordEmbedder(), SETTINGS) as client:
        yield client


async def do(reader: "MemoryServiceAsyncStub", project: str, what: str) -> None:
    """What the worker does, to its end."""
    if what == "forget":
        await reader.ForgetSource(pb.ForgetSourceRequest(project=project, source="/watch"))
        return
    document = pb.DocumentSource(uri=URI, content=text_of(what).encode(), media_type="text/markdown")
    async for _ in reader.Ingest(pb.IngestRequest(project=project, documents=[document], source="/watch")):
        pass


async def versions_found(reader: "MemoryServiceAsyncStub", project: str) -> set[str]:
    """Searches, opens every citation, and says which versions of the document there are in answers: whole ones only."""
    request = pb.SearchRequest(project=project, query="lighthouse keeper", limit=100)
    passages = (await reader.Search(request)).passages
    for passage in passages:
        opened = await reader.GetDocument(
            pb.GetDocumentRequest(
                project=project,
                document_id=passage.document_id,
                start_offset=passage.start_offset,
                end_offset=passage.end_offset,
            )
        )
        assert opened.text == passage.text
    versions = {version for version in ("old", "new") for passage in passages if f"The {version}" in passage.text}
    assert len(passages) == PARTS * len(versions)
    listed = (await reader.ListDocuments(pb.ListDocumentsRequest(project=project))).documents
    assert [document.passages for document in listed] == [PARTS] * len(versions)
    in_source = await reader.Search(pb.SearchRequest(project=project, query="keeper", sources=["/watch"], limit=100))
    assert len(in_source.passages) <= len(passages)
    return versions


async def rows(milvus_uri: str, collection: str, project: str) -> list[Any]:
    def query() -> list[Any]:
        client = pymilvus.MilvusClient(uri=milvus_uri)
        try:
            if not client.has_collection(f"troupe_{collection}"):  # killed before it was made
                return []
            return list(client.query(f"troupe_{collection}", filter=f'project == "{project}"', output_fields=["key"]))
        finally:
            client.close()

    return await asyncio.to_thread(query)


@pytest.mark.parametrize(
    ("before", "what", "after"), [("", "new", "new"), ("old", "new", "new"), ("old", "forget", "")]
)
async def test_kill_9_at_every_point(  # noqa: PLR0917 - two fixtures and a case
    milvus_server: MilvusServer, worker: Worker, reader: "MemoryServiceAsyncStub", before: str, what: str, after: str
) -> None:
    project = f"kill-{before}-{what}"
    was, will_be = {before} - {""}, {after} - {""}
    for point in range(1, MOST_WRITES):
        await do(reader, project, before or "forget")
        assert await versions_found(reader, project) == was
        status = await worker.do(project, what, kill_after=point)
        assert await versions_found(reader, project) in (was, will_be)
        if status == 0:
            break
        assert status == SIGKILLED
        async with MilvusStore(uri=milvus_server.uri, settings=SETTINGS) as store:
            await Removal(store=store, membership=Membership(store=store)).clear(older_than_seconds=-1)
            owned = sum([each.passages for each in await store.list_documents(project, after_uri="", limit=10)])
        assert await versions_found(reader, project) in (was, will_be)
        assert len(await rows(milvus_server.uri, "passages", project)) == owned
        await do(reader, project, what)
        assert await versions_found(reader, project) == will_be
    else:
        pytest.fail("it never came to its end")
    assert point > 4
    assert await versions_found(reader, project) == will_be
