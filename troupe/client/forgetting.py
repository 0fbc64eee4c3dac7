"""Documents whose files are gone leave the memory."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from troupe.api.memory.v1 import memory_service_pb2 as memory
from troupe.client.folder import Folder, file_uri, is_path

if TYPE_CHECKING:
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

_PAGE: Final = 1000
_CALL_SECONDS: Final = 60
_SCHEME: Final = "file://"


async def forget_missing(memory_stub: "MemoryServiceAsyncStub", project: str, folder: Folder) -> int:
    """Has the memory forget the documents of this folder whose files are not in it any more; says how many.

    Files that are gone are forgotten whichever folder stored them: also those of folders inside of this one. A file
    that is there, but not among the folder's, is left to the other folders that hold it. What lies in a folder that
    cannot be listed now is kept.
    """
    present = {file_uri(file) for file in folder.files}
    unlisted = tuple(f"{file_uri(directory)}/" for directory in folder.problems)
    leaving: dict[str, tuple[str, ...]] = {}
    for source in await _sources(memory_stub, project, folder):
        async for document in _documents(memory_stub, project, source):
            if document.uri not in present and not document.uri.startswith(unlisted):
                leaving[document.document_id] = _lets_go(document, folder)
    forgotten = 0
    for sources, document_ids in _requests(leaving):
        request = memory.ReleaseDocumentsRequest(project=project, sources=sources, document_ids=document_ids)
        forgotten += (await memory_stub.ReleaseDocuments(request, timeout=_CALL_SECONDS)).released_documents
    return forgotten


def _lets_go(document: memory.Document, folder: Folder) -> tuple[str, ...]:
    """The sources that hold the document no more."""
    if not _is_there(document.uri):
        return tuple(source for source in document.sources if is_path(source))
    return tuple(source for source in document.sources if source == folder.label)


def _is_there(uri: str) -> bool:
    return os.path.lexists(unquote_to_bytes(uri.removeprefix(_SCHEME))) if uri.startswith(_SCHEME) else True


def _requests(leaving: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], Sequence[str]]]:
    by_sources: dict[tuple[str, ...], list[str]] = {}
    for document_id, sources in leaving.items():
        by_sources.setdefault(sources, []).append(document_id)
    for sources, ids in by_sources.items():
        if sources:
            yield from ((sources, ids[start : start + _PAGE]) for start in range(0, len(ids), _PAGE))


async def _sources(memory_stub: "MemoryServiceAsyncStub", project: str, folder: Folder) -> Sequence[str]:
    """The folder's own, and those of what lies inside of it."""
    inside = (f"{folder.root}/", f"{folder.root.as_uri()}/")
    names = [folder.label]
    request = memory.ListSourcesRequest(project=project, page_size=_PAGE)
    while True:
        page = await memory_stub.ListSources(request, timeout=_CALL_SECONDS)
        names += [source.name for source in page.sources if source.name.startswith(inside)]
        if not page.next_page_token:
            return names
        request.page_token = page.next_page_token


async def _documents(
    memory_stub: "MemoryServiceAsyncStub", project: str, source: str
) -> AsyncIterator[memory.Document]:
    request = memory.ListDocumentsRequest(project=project, source=source, page_size=_PAGE)
    while True:
        page = await memory_stub.ListDocuments(request, timeout=_CALL_SECONDS)
        for document in page.documents:
            yield document
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
