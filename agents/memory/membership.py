"""Which sources hold which documents, and what of a batch of documents is stored already."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from troupe.agents.memory import ids
from troupe.agents.memory.sources import is_marked, source_of
from troupe.agents.memory.store import Hold, MemoryStore, StoredDocument
from troupe.api.memory.v1 import memory_service_pb2 as pb

_MAX_MARKED: Final = 30  # a passage has room for 64 marks, of which 32 may be of metadata


@dataclass(frozen=True, slots=True)
class HeldBySource:
    """How much a source holds."""

    name: str
    documents: int
    passages: int


class Membership:
    """Puts documents into sources. Its turns keep what changes documents apart, in one process.

    `turn` is for what takes documents out, `turn_of` for what replaces one; who needs both takes `turn_of` first.
    """

    def __init__(self, *, store: MemoryStore) -> None:
        self.turn = asyncio.Lock()
        self._store = store
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn_of(self, document_id: str) -> asyncio.Lock:
        """The turn of one document."""
        return self._turns.setdefault(document_id, asyncio.Lock())

    async def join(
        self, project: str, source: str, documents: Sequence[pb.DocumentSource]
    ) -> Mapping[str, StoredDocument]:
        """Has a source hold documents, which need not be stored yet; returns the records of those that are, by URI."""
        holds = [_hold(project, source_of(source, document.metadata), document.uri) for document in documents]
        async with self.turn:
            there = await self._store.holds.there(holds)
            if missing := [hold for hold in holds if hold not in there]:
                await self._store.holds.put(missing)
            return await self._store.find_documents(project, [hold.uri for hold in holds])

    async def marked(self, project: str, source: str, document_id: str, *, replaces: bool) -> Sequence[str]:
        """The sources that the passages of a document name when it is stored from a source."""
        held = await self._store.holds.of_documents(project, [document_id]) if replaces else ()
        names = sorted({name for name in (source, *(hold.source for hold in held)) if is_marked(name)})
        if unmarked := [hold for hold in held if hold.source in names[_MAX_MARKED:]]:
            await self._store.holds.put(unmarked)
        return names[:_MAX_MARKED]

    async def note_marked(self, document: StoredDocument, sources: Sequence[str]) -> None:
        """Notes what the passages name, once they are stored."""
        holds = [Hold(document.project, source, document.document_id, document.uri) for source in sources]
        if there := await self._store.holds.there(holds):
            await self._store.holds.put(sorted(there, key=lambda hold: hold.source), marked=True)

    async def page(
        self, project: str, source: str, *, after_uri: str, size: int
    ) -> tuple[Sequence[StoredDocument], str]:
        """The documents of a source in the order of their URIs; and the URI that more come after, if any do."""
        holds = await self._store.holds.of_source(project, source, after_uri=after_uri, limit=size + 1)
        stored = await self._store.find_documents(project, [hold.uri for hold in holds[:size]])
        documents = [stored[hold.uri] for hold in holds[:size] if hold.uri in stored]
        more = holds[size - 1].uri if len(holds) > size else ""
        return [document for document in documents if document.passages], more

    async def sources(self, project: str) -> Sequence[HeldBySource]:
        """The sources that hold documents, by name."""
        documents: Counter[str] = Counter()
        passages: Counter[str] = Counter()
        async for holds in self._store.holds.of_project(project):
            stored = await self._store.find_documents(project, sorted({hold.uri for hold in holds}))
            for hold in holds:
                if hold.uri in stored and stored[hold.uri].passages:
                    documents[hold.source] += 1
                    passages[hold.source] += stored[hold.uri].passages
        return [HeldBySource(name, documents[name], passages[name]) for name in sorted(documents)]

    async def sources_of(self, project: str, documents: Sequence[StoredDocument]) -> Mapping[str, Sequence[str]]:
        """The names of the sources that hold documents, in order, by document id."""
        names: dict[str, list[str]] = {}
        for hold in await self._store.holds.of_documents(project, [document.document_id for document in documents]):
            names.setdefault(hold.document_id, []).append(hold.source)
        return {document_id: sorted(sources) for document_id, sources in names.items()}


def _hold(project: str, source: str, uri: str) -> Hold:
    return Hold(project, source, ids.document_id(project, uri), uri)
