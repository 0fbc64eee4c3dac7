"""Sends the documents of a folder to the memory, in batches that fit into a message."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.memory.v1 import memory_service_pb2 as memory
from troupe.client.errors import from_call
from troupe.client.folder import FOLDER_KEY, Folder, media_type
from troupe.core.errors import TroupeError

if TYPE_CHECKING:
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

_BATCH_BYTES: Final = 2 << 20
_BATCH_DOCUMENTS: Final = 100
_PAGE: Final = 1000
_CALL_SECONDS: Final = 30

_Reply = TypeVar("_Reply")


class Ingestion:
    """Ingests folders into one project."""

    def __init__(self, memory_stub: "MemoryServiceAsyncStub", *, target: str, project: str) -> None:
        self._memory = memory_stub
        self._target = target
        self._project = project

    async def run(self, folder: Folder) -> AsyncGenerator[memory.IngestResponse]:
        """Yields what the memory says, and a failed result for each file that does not get that far."""
        for directory, problem in folder.problems.items():
            yield _failed(folder.uri(directory), _unreadable(problem))
        try:
            limit = await self._max_document_bytes()
            owners = await self._owners()
            for batch in _batches(folder.files):
                documents: list[memory.DocumentSource] = []
                for file in batch:
                    uri = _free_uri(folder, file, owners)
                    try:
                        documents.append(await asyncio.to_thread(_read, folder, file, uri, limit))
                    except TroupeError as error:
                        yield _failed(uri, error)
                if documents:
                    async for response in self._memory.Ingest(
                        memory.IngestRequest(project=self._project, documents=documents)
                    ):
                        yield response
        except grpc.aio.AioRpcError as error:
            raise from_call(error, self._target) from None

    async def _max_document_bytes(self) -> int:
        request = memory.GetStatsRequest(project=self._project)
        return (await self._memory.GetStats(request, timeout=_CALL_SECONDS)).max_document_bytes

    async def _owners(self) -> Mapping[str, str]:
        """The folder that each stored document came from, by its URI."""
        owners: dict[str, str] = {}
        token = ""
        while True:
            request = memory.ListDocumentsRequest(project=self._project, page_size=_PAGE, page_token=token)
            page = await self._memory.ListDocuments(request, timeout=_CALL_SECONDS)
            owners.update((document.uri, document.metadata.get(FOLDER_KEY, "")) for document in page.documents)
            token = page.next_page_token
            if not token:
                return owners


def _free_uri(folder: Folder, file: Path, owners: Mapping[str, str]) -> str:
    """The path relative to the folder; the file's URL where another folder's document has that path already."""
    relative, url = folder.uri(file), file.as_uri()
    if url in owners:
        return url
    return relative if owners.get(relative, folder.label) == folder.label else url


def _batches(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Files in order, together at most `_BATCH_BYTES` unless one alone is larger."""
    batch: list[Path] = []
    size = 0
    for file in files:
        file_bytes = _size(file)
        if batch and (size + file_bytes > _BATCH_BYTES or len(batch) == _BATCH_DOCUMENTS):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file_bytes
    if batch:
        yield batch


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _read(folder: Folder, file: Path, uri: str, limit: int) -> memory.DocumentSource:
    if limit and (size := _size(file)) > limit:
        raise TroupeError(
            ErrorReason.ERROR_REASON_DOCUMENT_TOO_LARGE,
            f"it has {size:,} bytes, more than the {limit:,} that the memory takes; split it",
        )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _unreadable(error.strerror or "unknown error") from None
    return memory.DocumentSource(uri=uri, content=content, media_type=media_type(file) or "", metadata=folder.filter)


def _unreadable(problem: str) -> TroupeError:
    return TroupeError(ErrorReason.ERROR_REASON_UNREADABLE_DOCUMENT, f"it cannot be read: {problem}")


def _failed(uri: str, error: TroupeError) -> memory.IngestResponse:
    result = memory.IngestResult(uri=uri, status=memory.INGEST_STATUS_FAILED, error=error.to_proto())
    return memory.IngestResponse(result=result)
