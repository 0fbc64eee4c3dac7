"""Bytes to text: a byte order mark decides, then UTF-8, then Windows-1252; binary is refused."""

import codecs
import re
from typing import Final

from agents.memory.errors import unreadable

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def decode(content: bytes, uri: str, *, declared: str = "") -> str:
    """The text without its byte order mark.

    `declared` is what the document says of itself; it counts where neither a mark nor UTF-8 decides.

    Raises:
        TroupeError: it is not text, or not in the encoding that it claims.
    """
    text = _decode(content, uri, declared)
    if "\0" in text:
        raise unreadable(uri, f"it is binary, not text: code point {text.index(chr(0))} is NUL")
    return text


def _decode(content: bytes, uri: str, declared: str) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strict(content[len(mark) :], encoding, uri)
    if b"\0" in content:
        raise unreadable(uri, f"it is binary, not text: byte {content.index(0)} is NUL")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = _strict(content, _known(declared) or "windows-1252", uri)
    if _CONTROLS.search(text):
        raise unreadable(uri, "it is binary, not text: neither UTF-8 nor free of control characters")
    return text


def _strict(content: bytes, encoding: str, uri: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not {encoding}; save the file as UTF-8"
        raise unreadable(uri, problem) from None


def _known(encoding: str) -> str:
    try:
        info = codecs.lookup(encoding)
    except LookupError:
        return ""
    return info.name if getattr(info, "_is_text_encoding", True) else ""
