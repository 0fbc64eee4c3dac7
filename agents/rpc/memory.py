"""`MemoryService`."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final

from troupe.agents.memory.embedding import Embedder
from troupe.agents.memory.errors import is_of_document
from troupe.agents.memory.ingestion import Ingestion
from troupe.agents.memory.membership import Membership
from troupe.agents.memory.opening import open_document
from troupe.agents.memory.paging import page_token, read_page_token, read_place
from troupe.agents.memory.parser import Parser
from troupe.agents.memory.removal import Removal
from troupe.agents.memory.search import MemorySearcher
from troupe.agents.memory.settings import MemorySettings
from troupe.agents.memory.shared_batches import SharedBatches
from troupe.agents.memory.sources import source_of
from troupe.agents.memory.store import MemoryStore, StoredDocument
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceServicer
from troupe.core.background import background
from troupe.core.errors import TroupeError, invalid
from troupe.core.interceptors.around import Context
from troupe.core.projects import DEFAULT_PROJECT

_DEFAULT_LIMIT: Final = 10
_DEFAULT_PAGE: Final = 50
_MAX_METADATA_BYTES: Final = 60_000  # Milvus takes 65,536 bytes of JSON

_Events = asyncio.Queue[pb.IngestResponse | None]


class MemoryServicer(MemoryServiceServicer):
    """Serves the memory."""

    def __init__(self, *, store: MemoryStore, embedder: Embedder, parser: Parser, settings: MemorySettings) -> None:
        self._store = store
        self._searcher = MemorySearcher(store=store, embedder=embedder)
        self._settings = settings
        self._membership = Membership(store=store)
        self.removal = Removal(store=store, membership=self._membership)
        shared = SharedBatches(embedder, batch=settings.embed_batch, concurrency=settings.embed_concurrency)
        self._ingestion = Ingestion(
            store=store, membership=self._membership, embedder=shared, parser=parser, settings=settings
        )

    async def Ingest(self, request: pb.IngestRequest, context: Context) -> AsyncIterator[pb.IngestResponse]:
        """Streams what becomes of the documents, as they are done."""
        _check_documents(request.documents)
        events: _Events = asyncio.Queue()
        async with background(self._ingest_all(request, events), name="ingest") as work:
            while (event := await events.get()) is not None:
                yield event
            await work

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        """Finds passages."""
        passages = await self._searcher.search(
            request.project or DEFAULT_PROJECT,
            request.query,
            limit=request.limit or _DEFAULT_LIMIT,
            metadata=request.filter,
            document_ids=request.document_ids,
            sources=request.sources,
        )
        return pb.SearchResponse(passages=passages)

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.DeleteResponse:
        """Deletes documents."""
        deleted = await self.removal.delete(request.project or DEFAULT_PROJECT, request.document_ids)
        return pb.DeleteResponse(deleted_documents=deleted)

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Context) -> pb.ListDocumentsResponse:
        """Lists a page of documents."""
        project, size = request.project or DEFAULT_PROJECT, request.page_size or _DEFAULT_PAGE
        listing = (project, request.source) if request.HasField("source") else (project,)
        after_uri = read_page_token(listing, request.page_token)
        if request.HasField("source"):
            documents, more = await self._membership.page(project, request.source, after_uri=after_uri, size=size)
        else:
            found = await self._store.list_documents(project, after_uri=after_uri, limit=size + 1)
            documents, more = found[:size], found[size - 1].uri if len(found) > size else ""
        token = page_token(listing, more) if more else ""
        return pb.ListDocumentsResponse(documents=await self._described(project, documents), next_page_token=token)

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Context) -> pb.GetDocumentResponse:
        """Returns text of a document."""
        project = request.project or DEFAULT_PROJECT
        if request.end_offset and request.end_offset < request.start_offset:
            raise invalid("end_offset", f"is before `start_offset`: {request.end_offset} < {request.start_offset}")
        document, start, text = await open_document(
            self._store, project, request.document_id, start=request.start_offset, end=request.end_offset
        )
        (described,) = await self._described(project, [document])
        return pb.GetDocumentResponse(document=described, text=text, start_offset=start)

    async def ListSources(self, request: pb.ListSourcesRequest, context: Context) -> pb.ListSourcesResponse:
        """Lists a page of sources."""
        project, size = request.project or DEFAULT_PROJECT, request.page_size or _DEFAULT_PAGE
        listing = (project, "", "sources")  # longer than those of documents: no source's name makes it one of them
        after = read_place(listing, request.page_token)
        held = await self._membership.sources(project)
        page = [
            pb.Source(name=each.name, documents=each.documents, passages=each.passages)
            for each in held[after : after + size]
        ]
        token = page_token(listing, str(after + size)) if len(held) > after + size else ""
        return pb.ListSourcesResponse(sources=page, next_page_token=token)

    async def ReleaseDocuments(
        self, request: pb.ReleaseDocumentsRequest, context: Context
    ) -> pb.ReleaseDocumentsResponse:
        """Takes documents out of sources."""
        project = request.project or DEFAULT_PROJECT
        released, deleted = await self.removal.release(project, request.sources, request.document_ids)
        return pb.ReleaseDocumentsResponse(released_documents=released, deleted_documents=deleted)

    async def ForgetSource(self, request: pb.ForgetSourceRequest, context: Context) -> pb.ForgetSourceResponse:
        """Takes all documents out of a source."""
        released, deleted = await self.removal.forget(request.project or DEFAULT_PROJECT, request.source)
        return pb.ForgetSourceResponse(released_documents=released, deleted_documents=deleted)

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:
        """Counts."""
        counts = await self._store.count(request.project or DEFAULT_PROJECT)
        return pb.GetStatsResponse(
            documents=counts.documents,
            passages=counts.passages,
            embedding_model=counts.model or self._settings.embedding_model,
            dimensions=counts.dimensions,
            max_document_bytes=self._settings.max_document_bytes,
        )

    async def _described(self, project: str, documents: Sequence[StoredDocument]) -> Sequence[pb.Document]:
        sources = await self._membership.sources_of(project, documents) if documents else {}
        return [_document(document, sources.get(document.document_id, ())) for document in documents]

    async def _ingest_all(self, request: pb.IngestRequest, events: _Events) -> None:
        """Some documents at a time; the first error that is not a document's ends them all."""
        project = request.project or DEFAULT_PROJECT
        waiting = iter(request.documents)
        try:
            known = await self._ingestion.join(project, request.source, request.documents)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._settings.concurrent_documents, len(request.documents))):
                    group.create_task(self._ingest_some(request, known, waiting, events))
            await self._store.settle()
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            events.put_nowait(None)

    async def _ingest_some(
        self,
        request: pb.IngestRequest,
        known: Mapping[str, StoredDocument],
        waiting: Iterator[pb.DocumentSource],
        events: _Events,
    ) -> None:
        for source in waiting:
            result = await self._ingest_one(request, known.get(source.uri), source, events)
            events.put_nowait(pb.IngestResponse(result=result))

    async def _ingest_one(
        self, request: pb.IngestRequest, known: StoredDocument | None, source: pb.DocumentSource, events: _Events
    ) -> pb.IngestResult:
        def report(stored: int, total: int) -> None:
            progress = pb.IngestProgress(uri=source.uri, stored_passages=stored, total_passages=total)
            events.put_nowait(pb.IngestResponse(progress=progress))

        try:
            done = await self._ingestion.ingest(
                request.project or DEFAULT_PROJECT, source_of(request.source, source.metadata), source, known, report
            )
        except TroupeError as error:
            if not is_of_document(error):
                raise
            return pb.IngestResult(uri=source.uri, status=pb.INGEST_STATUS_FAILED, error=error.to_proto())
        document = _document(done.document, [source_of(request.source, source.metadata)])
        return pb.IngestResult(uri=source.uri, status=done.status, document=document)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _check_documents(documents: Sequence[pb.DocumentSource]) -> None:
    seen: dict[str, int] = {}
    for index, source in enumerate(documents):
        first = seen.setdefault(source.uri, index)
        if first != index:
            raise invalid(f"documents[{index}].uri", f"is the same as that of document {first}: {source.uri!r}")
        if _json_bytes(source.metadata) > _MAX_METADATA_BYTES:
            raise invalid(f"documents[{index}].metadata", f"has more than {_MAX_METADATA_BYTES} bytes as JSON")


def _json_bytes(metadata: Mapping[str, str]) -> int:
    return len(json.dumps(dict(metadata), ensure_ascii=False).encode()) if metadata else 0


def _document(stored: StoredDocument, sources: Sequence[str]) -> pb.Document:
    document = pb.Document(
        document_id=stored.document_id,
        uri=stored.uri,
        title=stored.title,
        media_type=stored.media_type,
        content_sha256=stored.content_sha256,
        passages=stored.passages,
        text_length=stored.text_length,
        metadata=stored.metadata,
        sources=sources,
    )
    document.ingest_time.FromMilliseconds(stored.ingest_time_ms)
    return document
