"""Opens documents: their text, put together from their passages."""

from typing import Final

from troupe.agents.memory.reading import assemble
from troupe.agents.memory.store import MemoryStore, StoredDocument
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError

_MAX_TEXT: Final = 1_000_000
_ATTEMPTS: Final = 5


async def open_document(
    store: MemoryStore, project: str, document_id: str, *, start: int, end: int
) -> tuple[StoredDocument, int, str]:
    """The document, and of its text the part from `start` to `end`, of which 0 means all; and where the part starts.

    A document that is replaced meanwhile is opened again, so that never a text of two versions comes out.

    Raises:
        TroupeError: DOCUMENT_NOT_FOUND.
    """
    document = await _current(store, project, document_id)
    for _ in range(_ATTEMPTS):
        first = min(start, document.text_length)
        after = min(end or document.text_length, document.text_length, first + _MAX_TEXT)
        passages = [passage async for passage in store.passages(document, first, after)]
        text = assemble((p for p in passages if p.start < after and p.end > first), first, after)
        now = await _current(store, project, document_id)
        if now.version == document.version:
            break
        document = now
    return document, first, text


async def _current(store: MemoryStore, project: str, document_id: str) -> StoredDocument:
    for document in await store.get_documents(project, [document_id]):
        if document.passages:
            return document
    problem = f"no document {document_id!r} in project {project!r}; `ListDocuments` lists them"
    raise TroupeError(ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND, problem)
