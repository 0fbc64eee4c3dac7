"""Ids that follow from what they name, so that storing the same thing twice stores it once."""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping

# Raised when parsing or splitting changes, so that unchanged files are split anew.
_LAYOUT = 1
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


def attempt_version(of_version: str) -> str:
    """A name of its own for each attempt to store a version: what one left can never be taken for another's."""
    return f"{of_version}.{time.time_ns() // 1_000_000:x}-{secrets.token_hex(4)}"


def is_attempt(stored_version: str, of_version: str) -> bool:
    """Whether what is stored was an attempt to store this version."""
    return stored_version.partition(".")[0] == of_version


def begun_ms(stored_version: str) -> int:
    """When an attempt began; 0 for those that carry no time."""
    time_ms, _, _ = stored_version.partition(".")[2].partition("-")
    return int(time_ms or "0", 16)


def is_id(value: str) -> bool:
    """Whether the value has the shape of the ids made here; nothing else can name anything stored."""
    return _ID.fullmatch(value) is not None


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
