"""Documents that were stored before sources were kept become documents of the folder that their metadata name."""

from collections.abc import Mapping
from typing import Any, Final

from troupe.agents.memory.milvus.filters import one_of, quoted
from troupe.agents.memory.milvus.rows import hold_row
from troupe.agents.memory.sources import source_of
from troupe.agents.memory.store import Hold

_DONE_KEY: Final = "/adopted"  # no project is empty, so no document has this key
_PAGE: Final = 1_000
_FIELDS: Final = ["key", "project", "document_id", "uri", "metadata"]


def adopt(client: Any, *, documents: str, sources: str, timeout: float) -> None:
    """Notes once what holds the documents that are stored. What breaks off is done again: it changes nothing twice."""
    reading = {"timeout": timeout, "consistency_level": "Strong"}
    if client.query(sources, filter=one_of("key", [_DONE_KEY]), output_fields=["key"], limit=1, **reading):
        return
    after = "/~"  # behind what has no project
    while rows := client.query(
        documents,
        filter=f"project != {quoted('')} and key > {quoted(after)}",
        output_fields=_FIELDS,
        limit=_PAGE,
        iterator="True",
        **reading,
    ):
        client.upsert(sources, [hold_row(_hold(row)) for row in rows], timeout=timeout)
        after = rows[-1]["key"]
    client.upsert(sources, [{**hold_row(Hold("", "", "", "")), "key": _DONE_KEY}], timeout=timeout)


def _hold(row: Mapping[str, Any]) -> Hold:
    return Hold(row["project"], source_of("", row["metadata"]), row["document_id"], row["uri"])
