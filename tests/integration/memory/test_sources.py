"""A document belongs to any number of sources, and goes with the last of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from tests.support.milvus import MilvusServer, WordEmbedder, memory
from troupe.agents.memory.settings import MemorySettings
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.core.errors import TroupeError

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

BASEL = pb.DocumentSource(uri="file:///in/basel.md", content=b"The office in Basel opens at nine in the morning.")
BERN = pb.DocumentSource(uri="file:///in/sub/bern.md", content=b"The office in Bern opens at eight in the morning.")
LINKED = pb.DocumentSource(uri="file:///elsewhere/jura.md", content=b"The office in the Jura opens at ten.")


async def ingest(
    client: "MemoryServiceAsyncStub", project: str, source: str, *documents: pb.DocumentSource
) -> "list[pb.IngestStatus.ValueType]":
    request = pb.IngestRequest(project=project, documents=documents, source=source)
    return [reply.result.status async for reply in client.Ingest(request) if reply.HasField("result")]


async def found(client: "MemoryServiceAsyncStub", project: str, *sources: str, **metadata: str) -> list[str]:
    request = pb.SearchRequest(
        project=project, query="when does the office open", sources=sources, filter=metadata, limit=200
    )
    return sorted({passage.document_uri for passage in (await client.Search(request)).passages})


async def listed(client: "MemoryServiceAsyncStub", project: str, source: str | None = None) -> list[str]:
    uris, token = [], ""
    while True:
        request = pb.ListDocumentsRequest(project=project, source=source, page_size=2, page_token=token)
        page = await client.ListDocuments(request)
        uris += [document.uri for document in page.documents]
        if not (token := page.next_page_token):
            return uris


async def sources(client: "MemoryServiceAsyncStub", project: str) -> list[tuple[str, int]]:
    reply = await client.ListSources(pb.ListSourcesRequest(project=project))
    return [(source.name, source.documents) for source in reply.sources]


async def test_a_token_of_documents_is_none_of_sources(client: "MemoryServiceAsyncStub") -> None:
    await ingest(client, "tokens", "sources", BASEL, BERN)
    documents = pb.ListDocumentsRequest(project="tokens", source="sources", page_size=1)
    token = (await client.ListDocuments(documents)).next_page_token
    request = pb.ListSourcesRequest(project="tokens", page_token=token)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.ListSources(request)
    error = TroupeError.from_rpc(caught.value)
    assert (error.code, error.reason_name) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")


async def test_sources_are_listed_in_pages(client: "MemoryServiceAsyncStub") -> None:
    for name in ("a", "b", "c"):
        await ingest(client, "source-pages", name, BASEL)
    first = await client.ListSources(pb.ListSourcesRequest(project="source-pages", page_size=2))
    request = pb.ListSourcesRequest(project="source-pages", page_size=2, page_token=first.next_page_token)
    second = await client.ListSources(request)
    assert [[source.name for source in page.sources] for page in (first, second)] == [["a", "b"], ["c"]]
    assert not second.next_page_token


async def test_a_folder_inside_of_another_takes_nothing_away(milvus_server: MilvusServer) -> None:
    embedder = WordEmbedder()
    async with memory(milvus_server.uri, embedder, MemorySettings()) as client:
        created, unchanged = pb.INGEST_STATUS_CREATED, pb.INGEST_STATUS_UNCHANGED
        assert await ingest(client, "nested", "/in", BASEL, BERN) == [created, created]
        embedded = sum(embedder.calls)
        for _ in range(2):
            assert await ingest(client, "nested", "/in/sub", BERN) == [unchanged]
            assert await ingest(client, "nested", "/in", BASEL, BERN) == [unchanged] * 2
        assert sum(embedder.calls) == embedded
        assert await found(client, "nested", "/in") == [BASEL.uri, BERN.uri]
        assert await found(client, "nested", "/in/sub") == [BERN.uri]
        assert await found(client, "nested", folder="/in") == [BASEL.uri, BERN.uri]
        assert await found(client, "nested", folder="/in/sub") == [BERN.uri]
        assert await sources(client, "nested") == [("/in", 2), ("/in/sub", 1)]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [("/in", "/in/sub"), ("any name", "another"), ("file:///in", "/in/sub"), ("/", "ü %_\"'\\"), ("x" * 4000, "/in")],
)
async def test_sources_of_any_name_hold_what_they_were_given(
    client: "MemoryServiceAsyncStub", outer: str, inner: str
) -> None:
    project = f"names-{len(outer)}-{len(inner)}"
    await ingest(client, project, inner, BERN, LINKED)
    await ingest(client, project, outer, BASEL, BERN)
    await ingest(client, project, "", BASEL)
    assert await found(client, project, outer) == [BASEL.uri, BERN.uri]
    assert await found(client, project, inner) == [LINKED.uri, BERN.uri]
    assert await found(client, project, folder=inner) == [LINKED.uri, BERN.uri]
    assert await found(client, project, outer, inner) == [LINKED.uri, BASEL.uri, BERN.uri]
    assert await found(client, project, outer, folder=inner) == [BERN.uri]
    assert await listed(client, project, inner) == [LINKED.uri, BERN.uri]
    assert dict(await sources(client, project)) == {outer: 2, inner: 2, "": 1}
    assert await found(client, project, "nobody's") == []


async def test_what_lies_in_a_folder_but_is_held_by_others_is_not_its_own(client: "MemoryServiceAsyncStub") -> None:
    others = [
        pb.DocumentSource(uri=f"file:///in/other/{n}.md", content=f"When the office opens: {n}.".encode())
        for n in range(150)
    ]
    await ingest(client, "strangers", "another", *others)
    assert await found(client, "strangers", "/in") == []
    await ingest(client, "strangers", "/in", BASEL)
    assert await found(client, "strangers", "/in") == [BASEL.uri]


async def test_a_document_is_deleted_when_the_last_source_lets_go(client: "MemoryServiceAsyncStub") -> None:
    await ingest(client, "last", "/in", BASEL, BERN)
    await ingest(client, "last", "/in/sub", BERN)
    await ingest(client, "last", "", LINKED)
    ids = {document.uri: document.document_id async for document in _all(client, "last")}
    release = pb.ReleaseDocumentsRequest(project="last", sources=["/in"], document_ids=list(ids.values()))
    reply = await client.ReleaseDocuments(release)
    assert (reply.released_documents, reply.deleted_documents) == (2, 1)
    assert await listed(client, "last") == [LINKED.uri, BERN.uri]
    assert await found(client, "last") == [LINKED.uri, BERN.uri]
    assert await found(client, "last", "/in") == []
    forgotten = await client.ForgetSource(pb.ForgetSourceRequest(project="last", source="/in/sub"))
    assert (forgotten.released_documents, forgotten.deleted_documents) == (1, 1)
    assert await listed(client, "last") == [LINKED.uri]
    again = await client.ForgetSource(pb.ForgetSourceRequest(project="last", source="/in/sub"))
    assert (again.released_documents, again.deleted_documents) == (0, 0)


async def test_a_document_that_changed_stays_with_all_of_its_sources(client: "MemoryServiceAsyncStub") -> None:
    await ingest(client, "changed", "a", BERN)
    await ingest(client, "changed", "b", BERN)
    newer = pb.DocumentSource(uri=BERN.uri, content=b"The office in Bern opens at seven.")
    assert await ingest(client, "changed", "c", newer) == [pb.INGEST_STATUS_REPLACED]
    for source in ("a", "b", "c"):
        request = pb.SearchRequest(project="changed", query="office", sources=[source])
        assert [passage.text for passage in (await client.Search(request)).passages] == [newer.content.decode()]


async def test_overlapping_folders_ingested_at_once_miss_nothing(client: "MemoryServiceAsyncStub") -> None:
    documents = [
        pb.DocumentSource(uri=f"file:///in/{n % 3}/{n}.md", content=f"Office {n} opens at {n}.".encode())
        for n in range(60)
    ]
    folders = {"/in": documents, **{f"/in/{n}": documents[n::3] for n in range(3)}}
    await asyncio.gather(*(ingest(client, "overlap", name, *held) for name, held in folders.items()))
    for name, held in folders.items():
        assert await found(client, "overlap", name) == sorted(each.uri for each in held)


async def test_clients_that_know_no_sources_name_their_folder_in_the_metadata(
    client: "MemoryServiceAsyncStub",
) -> None:
    for folder in ("/in", "/in/sub"):
        document = pb.DocumentSource(uri=BERN.uri, content=BERN.content, metadata={"folder": folder})
        await ingest(client, "older", "", document)
    assert await found(client, "older", folder="/in") == await found(client, "older", folder="/in/sub") == [BERN.uri]


async def _all(client: "MemoryServiceAsyncStub", project: str) -> AsyncIterator[pb.Document]:
    for document in (await client.ListDocuments(pb.ListDocumentsRequest(project=project))).documents:
        yield document
