"""Filters lose nothing, and collections of earlier versions are used as they are."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pymilvus
import pytest

from tests.bench.filtered_search import OF_DOCUMENT, SHARES, Kind, document, fill, kinds, vectors
from tests.support.milvus import MilvusServer, WordEmbedder, memory
from troupe.agents.memory.milvus.store import MilvusStore
from troupe.agents.memory.settings import MemorySettings
from troupe.agents.memory.store import Query
from troupe.api.memory.v1 import memory_service_pb2 as pb

DOCUMENTS = 400


@pytest.fixture(scope="module")
def filled(milvus_server: MilvusServer) -> MemorySettings:
    settings = MemorySettings(collection="filters")

    async def run() -> None:
        async with MilvusStore(uri=milvus_server.uri, settings=settings) as store:
            await fill(store, 0, DOCUMENTS)

    asyncio.run(run())
    return settings


def wanted(kind: Kind) -> Sequence[int]:
    """The documents that a kind of search may find."""
    every = next((each for share, each in SHARES.items() if kind.name.endswith(f" of {share}")), 1)
    numbers = [number for number in range(DOCUMENTS) if number % every == 0]
    if kind.project != "default":
        return []
    if kind.name.startswith("source") or kind.name in ("plain", "folder of 100 %"):
        return numbers
    return [number for number in numbers if document(number).metadata == {"every": str(every)}]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
async def test_a_filter_loses_nothing_and_lets_nothing_else_through(
    milvus_server: MilvusServer, filled: MemorySettings, kind: Kind
) -> None:
    query = Query(
        project=kind.project,
        text="word1 word2",
        vector=vectors(1, np.random.default_rng(1))[0],
        model="random",
        limit=OF_DOCUMENT * DOCUMENTS,
        metadata=kind.metadata,
        sources=kind.sources,
    )
    async with MilvusStore(uri=milvus_server.uri, settings=filled) as store:
        found = await store.search(query)
    numbers = [int(each.passage.uri.rpartition("/")[2].removesuffix(".txt")) for each in found]
    assert sorted(set(numbers)) == wanted(kind)
    assert len(numbers) == OF_DOCUMENT * len(wanted(kind))


async def test_documents_of_earlier_versions_belong_to_the_folder_that_their_metadata_name(
    milvus_server: MilvusServer,
) -> None:
    settings = MemorySettings(collection="earlier")
    documents = [
        pb.DocumentSource(uri="file:///in/a.md", content=b"Apples.", metadata={"folder": "/in"}),
        pb.DocumentSource(uri="b.md", content=b"Apples too.", metadata={"folder": "named"}),
        pb.DocumentSource(uri="c.md", content=b"More apples."),
    ]
    async with memory(milvus_server.uri, WordEmbedder(), settings) as client:
        _ = [reply async for reply in client.Ingest(pb.IngestRequest(documents=documents))]

    def as_it_was(milvus: pymilvus.MilvusClient) -> None:
        milvus.drop_collection("earlier_sources")
        milvus.release_collection("earlier_passages")
        milvus.drop_index("earlier_passages", "vector_idx")
        index = milvus.prepare_index_params()
        index.add_index(field_name="vector", index_type="AUTOINDEX", metric_type="COSINE")
        milvus.create_index("earlier_passages", index)

    await asyncio.to_thread(lambda: as_it_was(pymilvus.MilvusClient(uri=milvus_server.uri)))
    async with memory(milvus_server.uri, WordEmbedder(), settings) as client:
        for source, uri in {"/in": "file:///in/a.md", "named": "b.md", "": "c.md"}.items():
            found = await client.Search(pb.SearchRequest(query="apples", sources=[source]))
            assert [each.document_uri for each in found.passages] == [uri]
        reply = await client.ListSources(pb.ListSourcesRequest())
        assert [(each.name, each.documents) for each in reply.sources] == [("", 1), ("/in", 1), ("named", 1)]
