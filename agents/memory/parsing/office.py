"""What the Office formats have in common: they are archives of XML."""

import zipfile
import zlib
from io import BytesIO
from typing import Final
from xml.etree import ElementTree as ET

from troupe.agents.memory.errors import unreadable
from troupe.agents.memory.parsing.titles import is_telling

# What the libraries let through on damaged files.
STUMBLES: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, IndexError, ValueError, TypeError, AttributeError, OSError,
    NotImplementedError, RecursionError, SyntaxError,
)  # fmt: skip
_MAX_UNPACKED_BYTES: Final = 256 << 20
_MAX_PARTS: Final = 20_000
_OLD: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CORE: Final = "docProps/core.xml"
_MAX_CORE_BYTES: Final = 1 << 20
_TITLE: Final = "{http://purl.org/dc/elements/1.1/}title"


def check_archive(content: bytes, uri: str, folder: str) -> None:
    """Refuses what cannot be such a file, or unpacks to too much.

    Raises:
        TroupeError: `folder`, which holds the document's parts, is not there.
    """
    if content.startswith(_OLD):
        raise unreadable(uri, "it is encrypted or of an old Office format; save it anew, without a password")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise unreadable(uri, "the Office file is damaged: it is no archive; save it anew") from None
    if not any(part.filename.startswith(folder) for part in parts):
        raise unreadable(uri, f"it is no such Office file: it holds no `{folder}`")
    unpacked = sum(part.file_size for part in parts)
    if unpacked > _MAX_UNPACKED_BYTES or len(parts) > _MAX_PARTS:
        raise unreadable(uri, f"it unpacks to {unpacked >> 20} MiB in {len(parts)} parts, which is too much; split it")


def stated_title(content: bytes, uri: str) -> str:
    """The title of the core properties, if it tells something."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            if _CORE not in archive.namelist() or archive.getinfo(_CORE).file_size > _MAX_CORE_BYTES:
                return ""
            found = ET.fromstring(archive.read(_CORE)).findtext(_TITLE) or ""  # noqa: S314 - expat bounds entities
    except (*STUMBLES, ET.ParseError):
        return ""
    title = " ".join(found.split())
    return title if is_telling(title, uri) else ""


def damaged(uri: str, error: Exception) -> Exception:
    """The error for what the libraries stumble over."""
    return unreadable(uri, f"the Office file is damaged ({type(error).__name__}); save it anew")
