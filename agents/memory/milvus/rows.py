"""Rows of the collections from and to values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from troupe.agents.memory.milvus.filters import mark
from troupe.agents.memory.milvus.schema import MAX_GAP_BYTES, MAX_TEXT_BYTES, UNUSED_VECTOR, Layout
from troupe.agents.memory.sources import SOURCE_KEY, lies_below
from troupe.agents.memory.store import Hold, StoredDocument, StoredPassage
from troupe.agents.memory.terms import terms

PASSAGE_FIELDS: Final = [
    *("passage_id", "number", "document_id", "project", "version", "title", "uri", "heading"),
    *("start_offset", "end_offset", "gap", "text", "metadata"),
]
DOCUMENT_FIELDS: Final = [field.name for field in fields(StoredDocument)]
HOLD_FIELDS: Final = [field.name for field in fields(Hold)]
# Media types of Office files are longer than the column, which stored collections cannot change.
_LONG_KINDS: Final = "application/vnd.openxmlformats-officedocument."
_SHORT_KINDS: Final = "ooxml:"


def document_key(project: str, uri: str) -> str:
    """The primary key of a document's record. A project has no slash, so keys sort by project, then by URI."""
    return f"{project}/{uri}"


def passage_key(document_id: str, version: str, number: int) -> str:
    """The primary key of a passage."""
    return f"{document_id}-{version}-{number:08}"


def document_row(document: StoredDocument) -> dict[str, Any]:
    """The record of a document."""
    row = {name: getattr(document, name) for name in DOCUMENT_FIELDS}
    key = document_key(document.project, document.uri)
    kind = document.media_type.replace(_LONG_KINDS, _SHORT_KINDS, 1)
    return {**row, "media_type": kind, "metadata": dict(document.metadata), "key": key, "unused": UNUSED_VECTOR}


def read_document(row: Mapping[str, Any]) -> StoredDocument:
    """The document of a record."""
    values = {name: row[name] for name in DOCUMENT_FIELDS}
    values["media_type"] = values["media_type"].replace(_SHORT_KINDS, _LONG_KINDS, 1)
    return StoredDocument(**values)


def source_start(project: str, source: str) -> str:
    """What the keys of all that a source holds begin with."""
    return f"{project}/{mark(SOURCE_KEY, source)}/"


def hold_key(hold: Hold) -> str:
    """The primary key of what a source holds."""
    return source_start(hold.project, hold.source) + hold.uri


def hold_row(hold: Hold, *, marked: bool = False) -> dict[str, Any]:
    """The row that says that a source holds a document."""
    return {
        "key": hold_key(hold),
        "project": hold.project,
        "source": hold.source,
        "source_mark": mark(SOURCE_KEY, hold.source),
        "document_id": hold.document_id,
        "uri": hold.uri,
        "outside": int(not marked and not lies_below(hold.uri, hold.source)),
        "unused": UNUSED_VECTOR,
    }


def read_hold(row: Mapping[str, Any]) -> Hold:
    """What a row says."""
    return Hold(**{name: row[name] for name in HOLD_FIELDS})


def passage_row(passage: StoredPassage, vector: Sequence[float], layout: Layout) -> dict[str, Any]:
    """The row of a passage."""
    marks = [mark(key, value) for key, value in passage.metadata.items()]
    marks += [mark(SOURCE_KEY, source) for source in passage.sources]
    row: dict[str, Any] = {
        "key": passage_key(passage.document_id, passage.version, passage.number),
        "passage_id": passage.passage_id,
        "number": passage.number,
        "document_id": passage.document_id,
        "project": passage.project,
        "version": passage.version,
        "title": passage.title,
        "uri": passage.uri,
        "heading": passage.heading,
        "start_offset": passage.start,
        "end_offset": passage.end,
        "gap": passage.gap if len(passage.gap.encode()) <= MAX_GAP_BYTES else "",
        "text": passage.text,
        "metadata": dict(passage.metadata),
        "marks": " ".join(marks) if layout.marks_as_text else marks,
        "vector": vector,
    }
    if layout.hybrid:
        words = terms(f"{passage.title}\n{passage.heading}\n{passage.text}").encode()
        row["terms"] = words[:MAX_TEXT_BYTES].decode(errors="ignore")
    return row


def read_passage(row: Mapping[str, Any]) -> StoredPassage:
    """The passage of a row."""
    values = {name: row[name] for name in PASSAGE_FIELDS}
    return StoredPassage(start=values.pop("start_offset"), end=values.pop("end_offset"), **values)
