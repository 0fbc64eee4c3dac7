"""Sources: what holds documents, such as a folder. Pure.

A document belongs to any number of sources, and is deleted when the last of them lets go of it.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

SOURCE_KEY: Final = "folder"
"""The key of metadata that names a source in filters, and in documents of clients that name none otherwise."""


def source_of(requested: str, metadata: Mapping[str, str]) -> str:
    """The source that a document comes from; empty when it comes from none, and is held by itself."""
    return requested or metadata.get(SOURCE_KEY, "")


def start_of(source: str) -> str | None:
    """What the URIs of a folder's documents begin with; None for other names. Links may lead to others besides."""
    if source.startswith("/"):
        return f"file://{quote(source.rstrip('/'))}/"
    return f"{source.rstrip('/')}/" if source.startswith("file:///") else None


def is_marked(source: str) -> bool:
    """Whether passages carry a mark of the source: what a folder holds is told by its URIs."""
    return bool(source) and start_of(source) is None


def lies_below(uri: str, source: str) -> bool:
    """Whether a document is in the folder that a source names."""
    start = start_of(source)
    return start is not None and uri.startswith(start)
