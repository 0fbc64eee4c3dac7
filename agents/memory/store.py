"""What the memory keeps, and the port to what keeps it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document's record. `version` changes whenever storing the document again would change anything."""

    document_id: str
    project: str
    uri: str
    title: str
    media_type: str
    content_sha256: str
    version: str
    passages: int
    text_length: int
    metadata: Mapping[str, str]
    ingest_time_ms: int


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage. `gap` is the white space between the passage before it and this one."""

    passage_id: str
    document_id: str
    project: str
    version: str
    title: str
    uri: str
    heading: str
    start: int
    end: int
    gap: str
    text: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage with its relevance; larger is better."""

    passage: StoredPassage
    score: float


@dataclass(frozen=True, slots=True)
class Query:
    """A search. Empty `document_ids` mean all documents; a document must have all of `metadata`."""

    project: str
    text: str
    vector: Sequence[float]
    model: str
    limit: int
    metadata: Mapping[str, str]
    document_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """What a project holds, and how its vectors were made; model and dimensions are empty before the first."""

    documents: int
    passages: int
    model: str
    dimensions: int


class MemoryStore(Protocol):
    """Keeps documents and passages. Every method may raise TroupeError MEMORY_UNAVAILABLE."""

    async def find_document(self, project: str, uri: str) -> StoredDocument | None:
        """The document of a URI."""
        ...

    async def get_document(self, project: str, document_id: str) -> StoredDocument | None:
        """The document of an id."""
        ...

    async def list_documents(self, project: str, *, after_uri: str, limit: int) -> Sequence[StoredDocument]:
        """Documents in the order of their URIs, from the first after `after_uri`."""
        ...

    async def versions(self, project: str, document_id: str) -> Mapping[str, int]:
        """How many passages of each version are stored of a document."""
        ...

    async def put_passages(
        self, passages: Sequence[StoredPassage], vectors: Sequence[Sequence[float]], model: str
    ) -> None:
        """Stores passages, in place of those with the same ids.

        Raises:
            TroupeError: MODEL_REFUSED when what is stored was embedded by another model.
        """
        ...

    async def put_document(self, document: StoredDocument) -> None:
        """Stores a document's record, in place of the one with the same URI."""
        ...

    async def delete_versions(self, project: str, document_id: str, versions: Sequence[str]) -> None:
        """Deletes the passages of a document that have one of the versions."""
        ...

    async def delete_documents(self, project: str, document_ids: Sequence[str]) -> int:
        """Deletes documents with their passages; returns how many records there were."""
        ...

    def passages(self, project: str, document_id: str, start: int, end: int) -> AsyncIterator[StoredPassage]:
        """The passages of a document that touch a range of its text, in no order."""
        ...

    async def search(self, query: Query) -> Sequence[FoundPassage]:
        """The passages that bear on the query, best first.

        Raises:
            TroupeError: MODEL_REFUSED when what is stored was embedded by another model.
        """
        ...

    async def count(self, project: str) -> Counts:
        """What the project holds."""
        ...
