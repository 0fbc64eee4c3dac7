"""Takes documents out of the memory: by name, when no source holds them any more, and what broken-off work left."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from troupe.agents.memory import ids
from troupe.agents.memory.membership import Membership
from troupe.agents.memory.store import Hold, MemoryStore, StoredDocument

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
            await self._hide(found)
            await self._store.holds.drop(await self._store.holds.of_documents(project, document_ids))
            await self._finish(found)
        return sum(document.passages > 0 for document in found)

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
        return sum([await self._clear(document) for document in left])

    async def _clear(self, left: StoredDocument) -> bool:
        """Deletes what was left of one document, unless that was replaced or deleted since it was listed."""
        async with self._membership.turn_of(left.document_id), self._membership.turn:
            now = await self._store.get_documents(left.project, [left.document_id])
            if [(each.version, each.other_version) for each in now] != [(left.version, left.other_version)]:
                return False
            await self._store.delete_passages(left.document_id, left.other_version, left.other_passages)
            if left.passages:
                await self._store.put_documents([replace(left, other_version="", other_passages=0)])
            else:
                await self._store.delete_records([left])
            return True

    async def _release(self, project: str, holds: Sequence[Hold]) -> tuple[int, int]:
        """Documents that nothing else holds go before the holds do: what breaks off can be begun again."""
        named = sorted({hold.document_id for hold in holds})
        stored = [document for document in await self._store.get_documents(project, named) if document.passages]
        held = await self._held_besides(project, holds)
        going = [document for document in stored if document.document_id not in held]
        await self._hide(going)
        if back := await self._held_besides(project, holds) - held:  # by another process, meanwhile
            await self._store.put_documents([document for document in going if document.document_id in back])
            going = [document for document in going if document.document_id not in back]
        await self._finish(going)
        await self._store.holds.drop(holds)
        return len(stored), len(going)

    async def _held_besides(self, project: str, holds: Sequence[Hold]) -> set[str]:
        """The documents of these that something else holds."""
        named = sorted({hold.document_id for hold in holds})
        besides = set(await self._store.holds.of_documents(project, named)) - set(holds)
        return {hold.document_id for hold in besides}

    async def _hide(self, documents: Sequence[StoredDocument]) -> None:
        """Has documents found no more, all at once."""
        for document in documents:
            if document.passages and document.other_version:
                await self._store.delete_passages(document.document_id, document.other_version, document.other_passages)
        if documents:
            await self._store.put_documents([_hidden(document) for document in documents])

    async def _finish(self, documents: Sequence[StoredDocument]) -> None:
        """Deletes hidden documents: their passages, then their records."""
        gone = [_hidden(document) for document in documents]
        for document in gone:
            await self._store.delete_passages(document.document_id, document.other_version, document.other_passages)
        if gone:
            await self._store.delete_records(gone)


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
