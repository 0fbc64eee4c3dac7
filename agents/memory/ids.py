"""Ids that follow from what they name, so that storing the same thing twice stores it once."""

import hashlib
import json
import re
from collections.abc import Mapping

# Raised when parsing or splitting changes, so that unchanged files are split anew.
_LAYOUT = 2
_ID = re.compile(r"[0-9a-f]{32}")


def document_id(project: str, uri: str) -> str:
    """The same for the same URI of the same project."""
    return _digest(project, uri)


def passage_id(of_document: str, start: int, end: int, text: str) -> str:
    """The same for the same text at the same place of the same document."""
    return _digest(of_document, str(start), str(end), text)


def version(content_sha256: str, title: str, media_type: str, metadata: Mapping[str, str]) -> str:
    """The same while storing the document again would change nothing."""
    return _digest(str(_LAYOUT), content_sha256, title, media_type, json.dumps(sorted(metadata.items())))


def is_id(value: str) -> bool:
    """Whether the value has the shape of the ids made here; nothing else can name anything stored."""
    return _ID.fullmatch(value) is not None


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
