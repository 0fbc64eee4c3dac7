"""What happens when Milvus, the embedder or the client go away."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from tests.support.milvus import MilvusServer, WordEmbedder, memory
from tests.support.processes import until
from troupe.agents.memory.embedding import Embeddings, InferenceEmbedder
from troupe.agents.memory.settings import MemorySettings
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.core.channels import open_channel
from troupe.core.errors import TroupeError
from troupe.local.launch import free_port

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

SETTINGS = MemorySettings(embed_batch=1, embed_concurrency=1)


def long_document(uri: str = "a.txt") -> pb.DocumentSource:
    text = "\n\n".join(f"Part {n}: " + "harbour lighthouse keeper " * 60 for n in range(20))
    return pb.DocumentSource(uri=uri, content=text.encode())


class HeldEmbedder(WordEmbedder):
    """Stops before its `hold`-th call until it is released."""

    def __init__(self, *, hold: int) -> None:
        super().__init__()
        self.held = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._hold = hold

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        if len(self.calls) == self._hold:
            self.held.set()
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return await super().embed(texts)


async def failure_of(call: Awaitable[object]) -> TroupeError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return TroupeError.from_rpc(caught.value)


async def statuses(client: "MemoryServiceAsyncStub", request: pb.IngestRequest) -> "list[pb.IngestStatus.ValueType]":
    return [reply.result.status async for reply in client.Ingest(request) if reply.HasField("result")]


async def test_a_killed_milvus_is_waited_for_and_its_data_is_still_there(tmp_path: Path) -> None:
    server = MilvusServer(data_dir=tmp_path)
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        client = await stack.enter_async_context(memory(server.uri, WordEmbedder(), SETTINGS))
        search = pb.SearchRequest(query="lighthouse")

        failure = await failure_of(client.Search(search))
        assert (failure.code, failure.reason_name) == (grpc.StatusCode.UNAVAILABLE, "MEMORY_UNAVAILABLE")
        assert failure.retryable
        assert server.uri in failure.message

        async def answers() -> bool:
            try:
                await client.GetStats(pb.GetStatsRequest())
            except grpc.aio.AioRpcError:
                return False
            return True

        server.start()
        await until(answers)
        request = pb.IngestRequest(documents=[long_document()])
        assert await statuses(client, request) == [pb.INGEST_STATUS_CREATED]
        before = await client.Search(search)
        assert before.passages

        server.kill()
        assert (await failure_of(client.Search(search))).reason_name == "MEMORY_UNAVAILABLE"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await statuses(client, request)
        assert TroupeError.from_rpc(caught.value).reason_name == "MEMORY_UNAVAILABLE"

        server.start()
        await until(answers)
        assert await client.Search(search) == before
        assert await statuses(client, request) == [pb.INGEST_STATUS_UNCHANGED]


async def test_a_milvus_killed_in_the_middle_of_a_document_leaves_nothing_half_done(tmp_path: Path) -> None:
    server = MilvusServer(data_dir=tmp_path)
    server.start()
    embedder = HeldEmbedder(hold=5)
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        client = await stack.enter_async_context(memory(server.uri, embedder, SETTINGS))
        request = pb.IngestRequest(documents=[long_document()])
        ingesting = asyncio.create_task(statuses(client, request))
        await embedder.held.wait()
        server.kill()
        embedder.release.set()
        with pytest.raises(grpc.aio.AioRpcError):
            await ingesting
        server.start()

        async def whole() -> bool:
            try:
                return await statuses(client, request) == [pb.INGEST_STATUS_CREATED]
            except grpc.aio.AioRpcError:
                return False

        await until(whole)
        documents = (await client.ListDocuments(pb.ListDocumentsRequest())).documents
        stats = await client.GetStats(pb.GetStatsRequest())
        assert (stats.documents, stats.passages) == (1, documents[0].passages)


async def test_a_client_that_leaves_stops_its_ingestion(milvus_server: MilvusServer) -> None:
    embedder = HeldEmbedder(hold=3)
    async with memory(milvus_server.uri, embedder, SETTINGS) as client:
        call = client.Ingest(pb.IngestRequest(project="left", documents=[long_document()]))
        await call.read()
        await embedder.held.wait()
        call.cancel()
        await asyncio.wait_for(embedder.cancelled.wait(), 10)
        stats = await client.GetStats(pb.GetStatsRequest(project="left"))
        assert stats.documents == 0


async def test_a_replaced_document_is_found_all_the_time(milvus_server: MilvusServer) -> None:
    embedder = HeldEmbedder(hold=-1)
    async with memory(milvus_server.uri, embedder, SETTINGS) as client:
        old = pb.DocumentSource(uri="a.txt", content=b"The old lighthouse.")
        await statuses(client, pb.IngestRequest(project="always", documents=[old]))
        done = asyncio.create_task(statuses(client, pb.IngestRequest(project="always", documents=[long_document()])))
        while not done.done():
            found = await client.Search(pb.SearchRequest(project="always", query="lighthouse"))
            assert found.passages
        assert await done == [pb.INGEST_STATUS_REPLACED]


async def test_a_missing_embedder_fails_the_call(milvus_server: MilvusServer) -> None:
    async with open_channel(f"127.0.0.1:{free_port()}", retries=False) as channel:
        embedder = InferenceEmbedder(channel=channel)
        async with memory(milvus_server.uri, embedder, SETTINGS) as client:
            failure = await failure_of(client.Search(pb.SearchRequest(query="x")))
            assert (failure.code, failure.reason_name) == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await statuses(client, pb.IngestRequest(documents=[long_document()]))
            assert TroupeError.from_rpc(caught.value).reason_name == "MODEL_UNAVAILABLE"


async def test_two_processes_make_the_collections_at_once(milvus_server: MilvusServer) -> None:
    settings = MemorySettings(collection="raced")
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(memory(milvus_server.uri, WordEmbedder(), settings)) for _ in range(3)
        ]
        requests = [pb.IngestRequest(documents=[long_document(f"{n}.txt")]) for n in range(3)]
        done = await asyncio.gather(*map(statuses, clients, requests))
        assert done == [[pb.INGEST_STATUS_CREATED]] * 3
        stats = await clients[0].GetStats(pb.GetStatsRequest())
        assert stats.documents == 3


@pytest.mark.parametrize("other", [WordEmbedder(model="others"), WordEmbedder(dimensions=32)])
async def test_another_embedding_model_is_refused(milvus_server: MilvusServer, other: WordEmbedder) -> None:
    async with memory(milvus_server.uri, WordEmbedder(), SETTINGS) as client:
        await statuses(client, pb.IngestRequest(project="model", documents=[long_document()]))
    async with memory(milvus_server.uri, other, SETTINGS) as client:
        failure = await failure_of(client.Search(pb.SearchRequest(project="model", query="x")))
        assert (failure.code, failure.reason_name) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED")
        assert "`agents.memory.collection`" in failure.message
