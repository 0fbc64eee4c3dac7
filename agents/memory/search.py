"""Searches the memory: the query is embedded, passages come back as the contract has them."""

from collections.abc import Mapping, Sequence
from typing import Final

from troupe.agents.memory.embedding import Embedder
from troupe.agents.memory.sources import SOURCE_KEY
from troupe.agents.memory.store import FoundPassage, MemoryStore, Query
from troupe.api.common.v1.content_pb2 import Passage

_MAX_QUERY: Final = 4_000  # code points; the embedder reads some 1,000 of them


class MemorySearcher:
    """Finds passages by meaning and by words."""

    def __init__(self, *, store: MemoryStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder

    async def search(
        self,
        project: str,
        query: str,
        *,
        limit: int,
        metadata: Mapping[str, str],
        document_ids: Sequence[str] = (),
        sources: Sequence[str] = (),
    ) -> Sequence[Passage]:
        """The passages that bear on a query, best first. `folder` among the metadata names a source."""
        groups = [[metadata[SOURCE_KEY]]] if SOURCE_KEY in metadata else []
        text = query[:_MAX_QUERY]
        embeddings = await self._embedder.embed([text])
        found = await self._store.search(
            Query(
                project=project,
                text=text,
                vector=embeddings.vectors[0],
                model=embeddings.model,
                limit=limit,
                metadata={key: value for key, value in metadata.items() if key != SOURCE_KEY},
                document_ids=document_ids,
                sources=[*groups, list(sources)] if sources else groups,
            )
        )
        return [_passage(passage) for passage in found]


def _passage(found: FoundPassage) -> Passage:
    passage = found.passage
    return Passage(
        passage_id=passage.passage_id,
        document_id=passage.document_id,
        document_title=passage.title,
        document_uri=passage.uri,
        heading=passage.heading,
        start_offset=passage.start,
        end_offset=passage.end,
        text=passage.text,
        score=found.score,
        metadata=passage.metadata,
    )
