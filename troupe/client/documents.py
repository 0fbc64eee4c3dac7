"""The documents of the memory, and what holds them."""

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import grpc.aio

from troupe.api.common.v1.content_pb2 import Passage
from troupe.api.memory.v1 import memory_service_pb2 as memory
from troupe.client.errors import from_call

if TYPE_CHECKING:
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

_Reply = TypeVar("_Reply")
_PAGE: Final = 1000


class Documents:
    """Finds, lists, opens and deletes what one project's memory holds. Every method raises `TroupeError`."""

    def __init__(
        self, memory_stub: "MemoryServiceAsyncStub", *, target: str, call_seconds: float, project: str = ""
    ) -> None:
        self._memory = memory_stub
        self._target = target
        self._call_seconds = call_seconds
        self._project = project

    async def search(
        self,
        query: str,
        *,
        limit: int = 0,
        sources: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        document_ids: Sequence[str] = (),
    ) -> Sequence[Passage]:
        """Returns the passages that bear on a query, best first; of documents that one of the sources holds, if any."""
        request = memory.SearchRequest(
            project=self._project,
            query=query,
            limit=limit,
            filter=metadata or {},
            document_ids=document_ids,
            sources=sources,
        )
        return (await self._answer(self._memory.Search(request, timeout=self._call_seconds))).passages

    async def list(self, *, source: str | None = None) -> AsyncGenerator[memory.Document]:
        """Yields the documents by URI; of one source, if any."""
        request = memory.ListDocumentsRequest(project=self._project, source=source, page_size=_PAGE)
        while True:
            page = await self._answer(self._memory.ListDocuments(request, timeout=self._call_seconds))
            for document in page.documents:
                yield document
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def open(self, document_id: str, *, start: int = 0, end: int = 0) -> memory.GetDocumentResponse:
        """Returns a document and its text from `start` to `end`, of which 0 means the end."""
        request = memory.GetDocumentRequest(
            project=self._project, document_id=document_id, start_offset=start, end_offset=end
        )
        return await self._answer(self._memory.GetDocument(request, timeout=self._call_seconds))

    async def delete(self, document_ids: Sequence[str]) -> int:
        """Deletes documents, whichever sources hold them; returns how many there were."""
        request = memory.DeleteRequest(project=self._project, document_ids=document_ids)
        return (await self._answer(self._memory.Delete(request, timeout=self._call_seconds))).deleted_documents

    async def sources(self) -> AsyncGenerator[memory.Source]:
        """Yields what holds documents, by name; an empty name stands for documents that came without a source."""
        request = memory.ListSourcesRequest(project=self._project, page_size=_PAGE)
        while True:
            page = await self._answer(self._memory.ListSources(request, timeout=self._call_seconds))
            for source in page.sources:
                yield source
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def forget(self, source: str) -> memory.ForgetSourceResponse:
        """Takes all documents out of a source; those that no other source holds are deleted."""
        request = memory.ForgetSourceRequest(project=self._project, source=source)
        return await self._answer(self._memory.ForgetSource(request, timeout=self._call_seconds))

    async def _answer(self, call: Awaitable[_Reply]) -> _Reply:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise from_call(error, self._target) from None
