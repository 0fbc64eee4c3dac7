"""Takes one document in: parsed, split, embedded, stored."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from weakref import WeakValueDictionary

from agents.memory import ids
from agents.memory.embedding import Embedder
from agents.memory.errors import too_large
from agents.memory.parser import Parser, SplitDocument
from agents.memory.parsing.declared import charset_parameter
from agents.memory.parsing.media import media_type_of
from agents.memory.settings import MemorySettings
from agents.memory.splitting import HEADING_SEPARATOR
from agents.memory.store import MemoryStore, StoredDocument, StoredPassage
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.core.errors import TroupeError

Report = Callable[[int, int], None]
"""Called with the passages stored so far and in all."""

_MAX_TITLE: Final = 500
_MAX_CONTEXT: Final = 120  # code points of title and heading that are embedded with a passage


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a document."""

    status: "pb.IngestStatus.ValueType"
    document: StoredDocument


class Ingestion:
    """Takes documents in. New passages are stored before old ones go, so that a search always finds the document."""

    def __init__(self, *, store: MemoryStore, embedder: Embedder, parser: Parser, settings: MemorySettings) -> None:
        self._store = store
        self._embedder = embedder
        self._parser = parser
        self._settings = settings
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ingest(self, project: str, source: pb.DocumentSource, report: Report) -> Ingested:
        """Stores a document unless it is stored already.

        Raises:
            TroupeError: UNREADABLE_DOCUMENT, DOCUMENT_TOO_LARGE, or what the store and the embedder raise.
        """
        if len(source.content) > self._settings.max_document_bytes:
            raise too_large(source.uri, len(source.content), self._settings.max_document_bytes)
        document_id = ids.document_id(project, source.uri)
        turn = self._turns.setdefault(document_id, asyncio.Lock())
        async with turn:
            return await self._ingest(project, document_id, source, report)

    async def _ingest(self, project: str, document_id: str, source: pb.DocumentSource, report: Report) -> Ingested:
        media_type = media_type_of(source.uri, source.media_type, source.content)
        sha256 = hashlib.sha256(source.content).hexdigest()
        version = ids.version(sha256, source.title, media_type, source.metadata)
        known = await self._store.find_document(project, source.uri)
        if known and known.other_version not in ("", version):  # a process stopped in the middle
            known = await self._without_other(known)
        if known and known.version == version:
            return Ingested(pb.INGEST_STATUS_UNCHANGED, known)
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
            content_sha256=sha256,
            version=version,
            passages=len(split.passages),
            text_length=len(split.text),
            metadata={**split.metadata, **source.metadata},
            ingest_time_ms=time.time_ns() // 1_000_000,
        )
        await self._replace(known, document, passages_of(document, split), report)
        return Ingested(pb.INGEST_STATUS_REPLACED if known and known.version else pb.INGEST_STATUS_CREATED, document)

    async def _replace(
        self, known: StoredDocument | None, document: StoredDocument, passages: Sequence[StoredPassage], report: Report
    ) -> None:
        """Announces the passages, stores them, makes them the document's, and deletes those that were."""
        old = known or replace(document, version="", passages=0)
        announcement = replace(old, other_version=document.version, other_passages=len(passages))
        group = self._settings.embed_batch * self._settings.embed_concurrency
        for start in range(0, len(passages), group):
            batch = passages[start : start + group]
            embeddings = await self._embedder.embed([embedded_text(passage) for passage in batch])
            if start == 0:
                await self._store.prepare(embeddings.model, len(embeddings.vectors[0]))
                await self._store.put_document(announcement)
            await self._store.put_passages(batch, embeddings.vectors)
            report(start + len(batch), len(passages))
        now = await self._store.find_document(document.project, document.uri)
        if now is None or document.version not in (now.version, now.other_version):
            raise _interfered(document.uri)
        await self._store.put_document(replace(document, other_version=old.version, other_passages=old.passages))
        if old.version:
            await self._without_other(replace(document, other_version=old.version, other_passages=old.passages))

    async def _without_other(self, document: StoredDocument) -> StoredDocument:
        """Deletes the passages of the other version, then its mention."""
        await self._store.delete_passages(document.document_id, document.other_version, document.other_passages)
        clean = replace(document, other_version="", other_passages=0)
        await self._store.put_document(clean)
        return clean


def _interfered(uri: str) -> TroupeError:
    problem = f"document {uri!r} was changed or deleted by another process at the same time; ingest it again"
    return TroupeError(ErrorReason.ERROR_REASON_MEMORY_UNAVAILABLE, problem)


def passages_of(document: StoredDocument, split: SplitDocument) -> list[StoredPassage]:
    """The passages of a document, with the white space between them."""
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
