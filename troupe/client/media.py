"""Which files the memory can read."""

from pathlib import PurePath
from typing import Final

_BY_SUFFIX: Final = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
}


def media_type_of_path(path: PurePath) -> str | None:
    """The media type by the file's name; None for kinds that cannot be read."""
    return _BY_SUFFIX.get(path.suffix.lower())
