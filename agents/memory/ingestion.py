"""Takes one document in: parsed, split, embedded, stored."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from troupe.agents.memory import ids
from troupe.agents.memory.embedding import Embedder
from troupe.agents.memory.errors import too_large
from troupe.agents.memory.membership import Membership
from troupe.agents.memory.parser import Parser, SplitDocument
from troupe.agents.memory.parsing.declared import charset_parameter
from troupe.agents.memory.parsing.media import media_type_of
from troupe.agents.memory.settings import MemorySettings
from troupe.agents.memory.splitting import HEADING_SEPARATOR
from troupe.agents.memory.store import MemoryStore, StoredDocument, StoredPassage
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.core.errors import TroupeError

Report = Callable[[int, int], None]
"""Called with the passages stored so far and in all."""

_MAX_TITLE: Final = 500
_ATTEMPTS: Final = 5
_MAX_CONTEXT: Final = 120  # code points of title and heading that are embedded with a passage


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a document."""

    status: "pb.IngestStatus.ValueType"
    document: StoredDocument


class Ingestion:
    """Takes documents in. The old passages of a document are found until all of the new ones are stored."""

    def __init__(
        self,
        *,
        store: MemoryStore,
        membership: Membership,
        embedder: Embedder,
        parser: Parser,
        settings: MemorySettings,
    ) -> None:
        self._store = store
        self._membership = membership
        self._embedder = embedder
        self._parser = parser
        self._settings = settings
        self._prepared = False

    async def join(
        self, project: str, source: str, documents: Sequence[pb.DocumentSource]
    ) -> Mapping[str, StoredDocument]:
        """Has a source hold the documents; returns the records of those that are stored, by URI. Comes first."""
        if not self._prepared:
            probe = await self._embedder.embed(["a"])
            await self._store.prepare(probe.model, len(probe.vectors[0]))
            self._prepared = True
        return await self._membership.join(project, source, documents)

    async def ingest(
        self,
        project: str,
        requested: str,
        source: pb.DocumentSource,
        known: StoredDocument | None,
        report: Report,
    ) -> Ingested:
        """Stores a document of a requested source unless it is stored already. `known` is its record from `join`.

        Raises:
            TroupeError: UNREADABLE_DOCUMENT, DOCUMENT_TOO_LARGE, or what the store and the embedder raise.
        """
        if len(source.content) > self._settings.max_document_bytes:
            raise too_large(source.uri, len(source.content), self._settings.max_document_bytes)
        source_version = _version_of(source)
        if known and not known.other_version and ids.is_attempt(known.version, source_version):
            return Ingested(pb.INGEST_STATUS_UNCHANGED, known)
        async with self._membership.turn_of(ids.document_id(project, source.uri)):
            for _ in range(_ATTEMPTS):
                with contextlib.suppress(_InterferedError):
                    return await self._ingest(project, requested, source, report)
        problem = f"document {source.uri!r} is changed by other processes all the time; ingest it again"
        raise TroupeError(ErrorReason.ERROR_REASON_MEMORY_UNAVAILABLE, problem)

    async def _ingest(self, project: str, requested: str, source: pb.DocumentSource, report: Report) -> Ingested:
        document_id = ids.document_id(project, source.uri)
        source_version = _version_of(source)
        known = await self._find(project, source.uri)
        if known and known.other_version:  # a process stopped in the middle
            known = await self._without_other(known)
        if known and ids.is_attempt(known.version, source_version):
            return Ingested(pb.INGEST_STATUS_UNCHANGED, known)
        media_type = media_type_of(source.uri, source.media_type, source.content)
        split = await self._parser.parse(
            source.content,
            uri=source.uri,
            media_type=media_type,
            charset=charset_parameter(source.media_type),
            project=project,
        )
        document = StoredDocument(
            document_id=document_id,
            project=project,
            uri=source.uri,
            title=(source.title or split.title or source.uri)[:_MAX_TITLE],
            media_type=media_type,
            content_sha256=hashlib.sha256(source.content).hexdigest(),
            version=ids.attempt_version(source_version),
            passages=len(split.passages),
            text_length=len(split.text),
            metadata={**split.metadata, **source.metadata},
            ingest_time_ms=0,
        )
        sources = await self._membership.marked(project, requested, document_id, replaces=known is not None)
        stored = await self._replace(known, document, passages_of(document, split, sources), report)
        await self._membership.note_marked(document, sources)
        return Ingested(pb.INGEST_STATUS_REPLACED if known and known.version else pb.INGEST_STATUS_CREATED, stored)

    async def _replace(
        self, known: StoredDocument | None, document: StoredDocument, passages: Sequence[StoredPassage], report: Report
    ) -> StoredDocument:
        """Announces the passages, stores them, makes them the document's, and deletes those that were."""
        old = known or replace(document, version="", passages=0)
        announced = replace(old, other_version=document.version, other_passages=document.passages)
        group = self._settings.embed_batch * self._settings.embed_concurrency
        for start in range(0, len(passages), group):
            batch = passages[start : start + group]
            embeddings = await self._embedder.embed([embedded_text(passage) for passage in batch])
            if start == 0:
                await self._store.prepare(embeddings.model, len(embeddings.vectors[0]))
                await self._store.put_documents([announced])
            await self._store.put_passages(batch, embeddings.vectors)
            report(start + len(batch), len(passages))
        await self._check(document)
        stored = replace(document, other_version=old.version, other_passages=old.passages, ingest_time_ms=_now_ms())
        await self._store.put_documents([stored])
        return await self._without_other(stored) if old.version else stored

    async def _check(self, document: StoredDocument) -> None:
        now = await self._find(document.project, document.uri)
        if now is None or document.version != now.other_version:
            raise _InterferedError

    async def _find(self, project: str, uri: str) -> StoredDocument | None:
        return (await self._store.find_documents(project, [uri])).get(uri)

    async def _without_other(self, document: StoredDocument) -> StoredDocument:
        """Deletes the passages of the other version, then its mention."""
        await self._store.delete_passages(document.document_id, document.other_version, document.other_passages)
        clean = replace(document, other_version="", other_passages=0)
        await self._store.put_documents([clean])
        return clean


class _InterferedError(Exception):
    """Another process changed or deleted the document at the same time."""


def _version_of(source: pb.DocumentSource) -> str:
    media_type = media_type_of(source.uri, source.media_type, source.content)
    sha256 = hashlib.sha256(source.content).hexdigest()
    return ids.version(sha256, source.title, media_type, source.metadata)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def passages_of(document: StoredDocument, split: SplitDocument, sources: Sequence[str] = ()) -> list[StoredPassage]:
    """The passages of a document, with the white space between them, and the sources that they name."""
    passages: list[StoredPassage] = []
    position = 0
    for number, passage in enumerate(split.passages):
        text = split.text[passage.start : passage.end]
        passages.append(
            StoredPassage(
                passage_id=ids.passage_id(document.document_id, passage.start, passage.end, text),
                number=number,
                document_id=document.document_id,
                project=document.project,
                version=document.version,
                title=document.title,
                uri=document.uri,
                heading=passage.heading,
                start=passage.start,
                end=passage.end,
                gap=split.text[position : passage.start],
                text=text,
                metadata=document.metadata,
                sources=sources,
            )
        )
        position = passage.end
    return passages


def embedded_text(passage: StoredPassage) -> str:
    """What stands for a passage in the embedder: its text below its innermost heading and its title."""
    title = "" if passage.title == passage.uri else passage.title
    heading = passage.heading.rpartition(HEADING_SEPARATOR)[2]
    context = dict.fromkeys(part for part in (title, heading) if part and part not in passage.text)
    return "\n".join([*(part[:_MAX_CONTEXT] for part in context), passage.text])
