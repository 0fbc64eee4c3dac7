"""`MemoryService`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final

from agents.memory.embedding import Embedder
from agents.memory.errors import is_of_document
from agents.memory.ingestion import Ingestion
from agents.memory.paging import page_token, read_page_token
from agents.memory.parser import Parser
from agents.memory.reading import assemble
from agents.memory.search import MemorySearcher
from agents.memory.settings import MemorySettings
from agents.memory.store import MemoryStore, StoredDocument
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceServicer
from troupe.core.errors import TroupeError, invalid
from troupe.core.interceptors.around import Context

DEFAULT_PROJECT: Final = "default"
_DEFAULT_LIMIT: Final = 10
_DEFAULT_PAGE: Final = 50
_MAX_TEXT: Final = 1_000_000
_MAX_METADATA_BYTES: Final = 60_000  # Milvus takes 65,536 bytes of JSON

_Events = asyncio.Queue[pb.IngestResponse | None]


class MemoryServicer(MemoryServiceServicer):
    """Serves the memory."""

    def __init__(self, *, store: MemoryStore, embedder: Embedder, parser: Parser, settings: MemorySettings) -> None:
        self._store = store
        self._searcher = MemorySearcher(store=store, embedder=embedder)
        self._settings = settings
        self._ingestion = Ingestion(store=store, embedder=embedder, parser=parser, settings=settings)

    async def Ingest(self, request: pb.IngestRequest, context: Context) -> AsyncIterator[pb.IngestResponse]:
        """Streams what becomes of the documents, as they are done."""
        _check_documents(request.documents)
        events: _Events = asyncio.Queue()
        work = asyncio.create_task(self._ingest_all(request, events), name="ingest")
        try:
            while (event := await events.get()) is not None:
                yield event
            await work
        finally:  # also when the client goes away
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, TroupeError):
                await work

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        """Finds passages."""
        passages = await self._searcher.search(
            request.project or DEFAULT_PROJECT,
            request.query,
            limit=request.limit or _DEFAULT_LIMIT,
            metadata=request.filter,
            document_ids=request.document_ids,
        )
        return pb.SearchResponse(passages=passages)

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.DeleteResponse:
        """Deletes documents."""
        deleted = await self._store.delete_documents(request.project or DEFAULT_PROJECT, request.document_ids)
        return pb.DeleteResponse(deleted_documents=deleted)

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Context) -> pb.ListDocumentsResponse:
        """Lists a page of documents."""
        project, size = request.project or DEFAULT_PROJECT, request.page_size or _DEFAULT_PAGE
        after_uri = read_page_token(project, request.page_token)
        found = await self._store.list_documents(project, after_uri=after_uri, limit=size + 1)
        page = found[:size]
        more = page_token(project, page[-1].uri) if len(found) > size else ""
        return pb.ListDocumentsResponse(documents=[_document(d) for d in page], next_page_token=more)

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Context) -> pb.GetDocumentResponse:
        """Returns text of a document."""
        project = request.project or DEFAULT_PROJECT
        if request.end_offset and request.end_offset < request.start_offset:
            raise invalid("end_offset", f"is before `start_offset`: {request.end_offset} < {request.start_offset}")
        document = await self._store.get_document(project, request.document_id)
        if document is None:
            problem = f"no document {request.document_id!r} in project {project!r}; `ListDocuments` lists them"
            raise TroupeError(ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND, problem)
        start = min(request.start_offset, document.text_length)
        end = min(request.end_offset or document.text_length, document.text_length, start + _MAX_TEXT)
        passages = [passage async for passage in self._store.passages(document, start, end)]
        text = assemble((p for p in passages if p.start < end and p.end > start), start, end)
        return pb.GetDocumentResponse(document=_document(document), text=text, start_offset=start)

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

    async def _ingest_all(self, request: pb.IngestRequest, events: _Events) -> None:
        """A few documents at a time; the first error that is not a document's ends them all."""
        waiting = iter(request.documents)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._settings.concurrent_documents, len(request.documents))):
                    group.create_task(self._ingest_some(request.project or DEFAULT_PROJECT, waiting, events))
            await self._store.settle()
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            events.put_nowait(None)

    async def _ingest_some(self, project: str, waiting: Iterator[pb.DocumentSource], events: _Events) -> None:
        for source in waiting:
            result = await self._ingest_one(project, source, events)
            events.put_nowait(pb.IngestResponse(result=result))

    async def _ingest_one(self, project: str, source: pb.DocumentSource, events: _Events) -> pb.IngestResult:
        def report(stored: int, total: int) -> None:
            progress = pb.IngestProgress(uri=source.uri, stored_passages=stored, total_passages=total)
            events.put_nowait(pb.IngestResponse(progress=progress))

        try:
            done = await self._ingestion.ingest(project, source, report)
        except TroupeError as error:
            if not is_of_document(error):
                raise
            return pb.IngestResult(uri=source.uri, status=pb.INGEST_STATUS_FAILED, error=error.to_proto())
        return pb.IngestResult(uri=source.uri, status=done.status, document=_document(done.document))


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


def _document(stored: StoredDocument) -> pb.Document:
    document = pb.Document(
        document_id=stored.document_id,
        uri=stored.uri,
        title=stored.title,
        media_type=stored.media_type,
        content_sha256=stored.content_sha256,
        passages=stored.passages,
        text_length=stored.text_length,
        metadata=stored.metadata,
    )
    document.ingest_time.FromMilliseconds(stored.ingest_time_ms)
    return document
