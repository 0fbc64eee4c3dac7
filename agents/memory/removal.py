"""Takes documents out of the memory: by name, when no source holds them any more, and what broken-off work left."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from agents.memory import ids
from agents.memory.membership import Membership
from agents.memory.store import Hold, MemoryStore, StoredDocument

_PAGE: Final = 1_000


class Removal:
    """Takes documents out. Whatever breaks off, what was begun is found no more, and is done to its end later."""

    def __init__(self, *, store: MemoryStore, membership: Membership) -> None:
        self._store = store
        self._membership = membership

    async def delete(self, project: str, document_ids: Sequence[str]) -> int:
        """Deletes documents, whichever sources hold them; says how many there were."""
        async with self._membership.turn:
            found = await self._store.get_documents(project, document_ids)
            await self._store.holds.drop(await self._store.holds.of_documents(project, document_ids))
            return await self._delete(found)

    async def release(self, project: str, sources: Sequence[str], document_ids: Sequence[str]) -> tuple[int, int]:
        """Takes documents out of sources; says how many were in one, and how many of these were deleted."""
        async with self._membership.turn:
            held = await self._store.holds.of_documents(project, document_ids)
            return await self._release(project, [hold for hold in held if hold.source in sources])

    async def forget(self, project: str, source: str) -> tuple[int, int]:
        """Takes all documents out of a source; says how many it held, and how many of these were deleted."""
        released = deleted = 0
        while True:
            async with self._membership.turn:
                holds = await self._store.holds.of_source(project, source, after_uri="", limit=_PAGE)
                if not holds:
                    return released, deleted
                now_released, now_deleted = await self._release(project, holds)
            released, deleted = released + now_released, deleted + now_deleted

    async def clear(self, *, older_than_seconds: float) -> int:
        """Deletes what was left by ingests and deletions that broke off; says of how many documents."""
        before_ms = _now_ms() - older_than_seconds * 1000
        broken_off = await self._store.list_broken_off()
        left = [document for document in broken_off if ids.begun_ms(document.other_version) <= before_ms]
        for document in left:
            await self._store.delete_passages(document.document_id, document.other_version, document.other_passages)
            if document.passages:
                await self._store.put_documents([replace(document, other_version="", other_passages=0)])
            else:
                await self._store.delete_records([document])
        return len(left)

    async def _release(self, project: str, holds: Sequence[Hold]) -> tuple[int, int]:
        named = sorted({hold.document_id for hold in holds})
        stored = [document for document in await self._store.get_documents(project, named) if document.passages]
        await self._store.holds.drop(holds)
        still_held = {hold.document_id for hold in await self._store.holds.of_documents(project, named)}
        deleted = await self._delete([each for each in stored if each.document_id not in still_held])
        return len(stored), deleted

    async def _delete(self, documents: Sequence[StoredDocument]) -> int:
        """First all stop being found, then their passages go, then their records."""
        for document in documents:
            if document.passages and document.other_version:
                await self._store.delete_passages(document.document_id, document.other_version, document.other_passages)
        gone = [_hidden(document) for document in documents]
        if gone:
            await self._store.put_documents(gone)
        for document in gone:
            await self._store.delete_passages(document.document_id, document.other_version, document.other_passages)
        if gone:
            await self._store.delete_records(gone)
        return sum(document.passages > 0 for document in documents)


def _hidden(document: StoredDocument) -> StoredDocument:
    """The record of a document that is found no more, and names the passages that have to go."""
    if not document.passages:
        return document
    return replace(
        document,
        version="",
        passages=0,
        other_version=document.version,
        other_passages=document.passages,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
