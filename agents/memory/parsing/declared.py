"""What HTML and XML say of their own encoding: https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding."""

import re
from typing import Final

from troupe.agents.memory.parsing.charsets import name_of

_SCANNED_BYTES: Final = 16 << 10
_COMMENT: Final = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META: Final = re.compile(rb"<meta(?=[\s/])((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>?", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(
    rb"([^\s/>=\"']+)\s*(?:=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?",
)
_CONTENT_CHARSET: Final = re.compile(r"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))", re.IGNORECASE)
_XML: Final = re.compile(rb"<\?xml\s[^>]{0,200}?encoding\s*=\s*(?:\"([^\"]*)\"|'([^']*)')[^>]{0,200}?>")


def charset_parameter(media_type: str) -> str:
    """The encoding that the parameter `charset` of a media type names; empty if there is none that is known."""
    found = _CONTENT_CHARSET.search(media_type)
    return name_of(next(filter(None, found.groups()), "")) if found else ""


def html_encoding(content: bytes) -> str:
    """What the first `<meta>` that says so names, else the XML declaration; empty if neither does."""
    head = _COMMENT.sub(b"", content[:_SCANNED_BYTES])
    for meta in _META.finditer(head):
        if name := _of_meta(_attributes(meta[1])):
            return _seen_by_prescan(name)
    return xml_encoding(content)


def xml_encoding(content: bytes) -> str:
    """What the XML declaration names; empty if there is none."""
    found = _XML.match(content[:1024].removeprefix(b"\xef\xbb\xbf").lstrip())
    return _seen_by_prescan(name_of((found[1] or found[2] or b"").decode("latin-1"))) if found else ""


def _attributes(source: bytes) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(source):
        attributes.setdefault(name.decode("latin-1").lower(), b"".join(values).decode("latin-1"))
    return attributes


def _of_meta(attributes: dict[str, str]) -> str:
    if "charset" in attributes:
        return name_of(attributes["charset"])
    if attributes.get("http-equiv", "").strip().lower() == "content-type":
        return charset_parameter(attributes.get("content", ""))
    return ""


def _seen_by_prescan(name: str) -> str:
    """A declaration that could be read as ASCII is not in UTF-16, whatever it says."""
    if name in ("utf-16le", "utf-16be"):
        return "utf-8"
    return "windows-1252" if name == "x-user-defined" else name
