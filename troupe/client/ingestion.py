"""Sends the documents of a folder to the memory, in batches that fit into a message."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.memory.v1 import memory_service_pb2 as memory
from troupe.client.errors import from_call
from troupe.client.folder import Folder, file_uri, nothing_to_ingest
from troupe.client.forgetting import forget_missing
from troupe.core.background import background
from troupe.core.errors import TroupeError, invalid
from troupe.core.media import media_type_of_path

if TYPE_CHECKING:
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

_BATCH_BYTES: Final = 2 << 20
_BATCH_DOCUMENTS: Final = 100
_BATCHES_AT_ONCE: Final = 2
_CALL_SECONDS: Final = 30
_MAX_URI: Final = 1024


class Ingestion:
    """Ingests folders into one project."""

    def __init__(self, memory_stub: "MemoryServiceAsyncStub", *, target: str, project: str) -> None:
        self._memory = memory_stub
        self._target = target
        self._project = project

    async def run(
        self, folder: Folder, *, on_forgotten: Callable[[int], None] | None = None
    ) -> AsyncGenerator[memory.IngestResponse]:
        """Yields what the memory says, and a failed result for each file that does not get that far.

        After a whole folder the documents whose files are gone are forgotten; `on_forgotten` gets their number.

        Raises:
            TroupeError: a call failed, or there is neither a file to store nor a document to forget.
        """
        for directory, problem in folder.problems.items():
            yield _failed(directory, _unreadable(problem))
        try:
            async with aclosing(self._store(folder)) as responses:
                async for response in responses:
                    yield response
            forgotten = await forget_missing(self._memory, self._project, folder) if folder.whole else 0
        except grpc.aio.AioRpcError as error:
            raise from_call(error, self._target) from None
        if not (folder.files or folder.problems or forgotten):
            raise invalid("folder", nothing_to_ingest(folder))
        if forgotten and on_forgotten is not None:
            on_forgotten(forgotten)

    async def _store(self, folder: Folder) -> AsyncGenerator[memory.IngestResponse]:
        """Two batches at a time: while the last documents of one are stored, those of the next are read."""
        responses: asyncio.Queue[memory.IngestResponse | None] = asyncio.Queue()
        async with background(self._send_all(folder, responses), name="ingest") as work:
            while (response := await responses.get()) is not None:
                yield response
            await work

    async def _send_all(self, folder: Folder, responses: "asyncio.Queue[memory.IngestResponse | None]") -> None:
        batches = _batches(folder.files)
        try:
            limit = await self._max_document_bytes()
            async with asyncio.TaskGroup() as group:
                for _ in range(_BATCHES_AT_ONCE):
                    group.create_task(self._send(folder, batches, limit, responses))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            responses.put_nowait(None)

    async def _send(
        self,
        folder: Folder,
        batches: Iterator[Sequence[Path]],
        limit: int,
        responses: "asyncio.Queue[memory.IngestResponse | None]",
    ) -> None:
        for batch in batches:
            documents: list[memory.DocumentSource] = []
            for file in batch:
                try:
                    documents.append(await asyncio.to_thread(_read, file, limit))
                except TroupeError as error:
                    responses.put_nowait(_failed(file, error))
            if documents:
                request = memory.IngestRequest(project=self._project, documents=documents, source=folder.label)
                async for response in self._memory.Ingest(request):
                    responses.put_nowait(response)

    async def _max_document_bytes(self) -> int:
        request = memory.GetStatsRequest(project=self._project)
        return (await self._memory.GetStats(request, timeout=_CALL_SECONDS)).max_document_bytes


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


def _read(file: Path, limit: int) -> memory.DocumentSource:
    uri = file_uri(file)
    if len(uri) > _MAX_URI:
        raise _unreadable(f"its URL is longer than {_MAX_URI:,} characters")
    if limit and (size := _size(file)) > limit:
        raise TroupeError(
            ErrorReason.ERROR_REASON_DOCUMENT_TOO_LARGE,
            f"it has {size:,} bytes, more than the {limit:,} that the memory takes; split it",
        )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _unreadable(error.strerror or "unknown error") from None
    return memory.DocumentSource(uri=uri, content=content, media_type=media_type_of_path(file) or "")


def _unreadable(problem: str) -> TroupeError:
    return TroupeError(ErrorReason.ERROR_REASON_UNREADABLE_DOCUMENT, f"it cannot be read: {problem}")


def _failed(path: Path, error: TroupeError) -> memory.IngestResponse:
    result = memory.IngestResult(uri=file_uri(path), status=memory.INGEST_STATUS_FAILED, error=error.to_proto())
    return memory.IngestResponse(result=result)
