"""Documents whose files are gone leave the memory."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from troupe.api.memory.v1 import memory_service_pb2 as memory
from troupe.client.folder import FOLDER_KEY, Folder, file_uri

if TYPE_CHECKING:
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

_PAGE: Final = 1000
_CALL_SECONDS: Final = 30


async def forget_missing(memory_stub: "MemoryServiceAsyncStub", project: str, folder: Folder) -> int:
    """Deletes the documents that came from this folder and whose files are not in it any more; says how many.

    What lies in a folder that cannot be listed now is kept.
    """
    present = {file_uri(file) for file in folder.files}
    unlisted = tuple(f"{file_uri(directory)}/" for directory in folder.problems)
    missing = [
        document.document_id
        async for document in _documents(memory_stub, project)
        if document.metadata.get(FOLDER_KEY) == folder.label
        and document.uri not in present
        and not document.uri.startswith(unlisted)
    ]
    deleted = 0
    for start in range(0, len(missing), _PAGE):
        request = memory.DeleteRequest(project=project, document_ids=missing[start : start + _PAGE])
        deleted += (await memory_stub.Delete(request, timeout=_CALL_SECONDS)).deleted_documents
    return deleted


async def _documents(memory_stub: "MemoryServiceAsyncStub", project: str) -> AsyncIterator[memory.Document]:
    request = memory.ListDocumentsRequest(project=project, page_size=_PAGE)
    while True:
        page = await memory_stub.ListDocuments(request, timeout=_CALL_SECONDS)
        for document in page.documents:
            yield document
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
