"""What the memory keeps, and the port to what keeps it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document's record. `version` changes whenever storing the document again would change anything.

    A record without passages is a document that is being stored for the first time, or deleted. `other_version` names
    passages that may be stored besides: of a version that is being written, or one that is being deleted.
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
    sources: Sequence[str] = ()
    """Some of the sources that held the document when it was stored; passages that are read do not say."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A source holds a document."""

    project: str
    source: str
    document_id: str
    uri: str


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage with its relevance; larger is better."""

    passage: StoredPassage
    score: float


@dataclass(frozen=True, slots=True)
class Query:
    """A search.

    Empty `document_ids` mean all documents. A document must have all of `metadata`, and be held by one of each group
    of `sources`.
    """

    project: str
    text: str
    vector: Sequence[float]
    model: str
    limit: int
    metadata: Mapping[str, str]
    document_ids: Sequence[str] = ()
    sources: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """What a project holds, and how its vectors were made; model and dimensions are empty before the first."""

    documents: int
    passages: int
    model: str
    dimensions: int


class HoldStore(Protocol):
    """Keeps which sources hold which documents. Every method may raise TroupeError MEMORY_UNAVAILABLE."""

    async def put(self, holds: Sequence[Hold], *, marked: bool = False) -> None:
        """Notes that sources hold documents, which need not be stored yet.

        `marked`: all passages of the documents name these sources, and so will those of their later versions.
        """
        ...

    async def drop(self, holds: Sequence[Hold]) -> None:
        """Sources hold documents no more."""
        ...

    async def there(self, holds: Sequence[Hold]) -> AbstractSet[Hold]:
        """Which of these there are."""
        ...

    async def of_documents(self, project: str, document_ids: Sequence[str]) -> Sequence[Hold]:
        """All that hold some of the documents."""
        ...

    async def of_source(self, project: str, source: str, *, after_uri: str, limit: int) -> Sequence[Hold]:
        """What a source holds, in the order of the URIs, from the first after `after_uri`."""
        ...

    def of_project(self, project: str) -> AsyncIterator[Sequence[Hold]]:
        """All that sources hold, some at a time, those of one source one after the other."""
        ...


class MemoryStore(Protocol):
    """Keeps documents and passages. Every method may raise TroupeError MEMORY_UNAVAILABLE.

    A passage is found from the moment on at which its document's record names its version, and not after.
    """

    @property
    def holds(self) -> HoldStore:
        """Which sources hold the documents."""
        ...

    async def find_documents(self, project: str, uris: Sequence[str]) -> Mapping[str, StoredDocument]:
        """The records of URIs, by URI, also of those that have no passages yet."""
        ...

    async def get_documents(self, project: str, document_ids: Sequence[str]) -> Sequence[StoredDocument]:
        """The records of ids, also of those that have no passages yet."""
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

    async def put_documents(self, documents: Sequence[StoredDocument]) -> None:
        """Stores documents' records, in place of those with the same URIs."""
        ...

    async def delete_passages(self, document_id: str, version: str, passages: int) -> None:
        """Deletes the passages of one version of a document."""
        ...

    async def settle(self) -> None:
        """Called when some documents were stored: time to make what is new as quick to find as the rest."""
        ...

    async def delete_records(self, documents: Sequence[StoredDocument]) -> None:
        """Deletes documents' records; their passages go before."""
        ...

    async def list_broken_off(self) -> Sequence[StoredDocument]:
        """Some records, of all projects, that name passages besides."""
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
