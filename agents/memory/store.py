"""What the memory keeps, and the port to what keeps it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document's record. `version` changes whenever storing the document again would change anything.

    A record without passages is a document that is being stored for the first time. `other_version` names passages
    that may be stored besides: of a version that is being written, or one that is being deleted.
    """

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
    other_version: str = ""
    other_passages: int = 0


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage, the `number`th of its document. `gap` is the white space between the one before and this one."""

    passage_id: str
    number: int
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
        """The record of a URI, also while it has no passages yet."""
        ...

    async def get_document(self, project: str, document_id: str) -> StoredDocument | None:
        """The document of an id."""
        ...

    async def list_documents(self, project: str, *, after_uri: str, limit: int) -> Sequence[StoredDocument]:
        """Documents in the order of their URIs, from the first after `after_uri`."""
        ...

    async def prepare(self, model: str, dimensions: int) -> None:
        """Makes room for the vectors of a model; comes before anything is put.

        Raises:
            TroupeError: MODEL_REFUSED when what is stored was embedded by another model.
        """
        ...

    async def put_passages(self, passages: Sequence[StoredPassage], vectors: Sequence[Sequence[float]]) -> None:
        """Stores passages, in place of those with the same version and number."""
        ...

    async def put_document(self, document: StoredDocument) -> None:
        """Stores a document's record, in place of the one with the same URI."""
        ...

    async def delete_passages(self, document_id: str, version: str, passages: int) -> None:
        """Deletes the passages of one version of a document."""
        ...

    async def settle(self) -> None:
        """Called when some documents were stored: time to make what is new as quick to find as the rest."""
        ...

    async def delete_documents(self, project: str, document_ids: Sequence[str]) -> int:
        """Deletes documents with their passages; returns how many records there were."""
        ...

    def passages(self, document: StoredDocument, start: int, end: int) -> AsyncIterator[StoredPassage]:
        """The passages of a document that touch a range of its text, and some more, in order."""
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
