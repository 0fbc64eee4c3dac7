"""Raised and lowered text in plain characters: `10^6` is not 106, a mark no digit of the number before it. Pure."""

import re
from typing import Final

_TOKEN: Final = re.compile(r"[+\-\u2212–±]?(?:\w+|∞)[+\-\u2212]?|[*†‡§¶\u2032\u2033°ªº™℠®©+\-\u2212]+")
_MARK: Final = re.compile(r"\d{1,3}|[a-z]|[*†‡§¶]+")
_BRACKETED: Final = re.compile(r"\[[^\[\]]{1,12}\]|\(\d{1,3}\)")
_LIST: Final = re.compile(r"\d{1,3}(?:\s*[,;–-]\s*\d{1,3})+")
_SYMBOLS: Final = re.compile(r"[*†‡§¶\u2032\u2033°ªº™℠®©]+")
_SOLIDUS: Final = ("/", "\N{FRACTION SLASH}")
_ORDINALS: Final = frozenset(
    ["st", "nd", "rd", "th", "er", "ère", "ere", "re", "e", "è", "ème", "eme", "o", "a", "os", "as", "de", "ste", "te"]
)
_TRADE: Final = frozenset(["tm", "sm", "mc"])
_WORD_END: Final = re.compile(r"[^\W\d_]{3,}\Z")
_POWER_BASE: Final = re.compile(r"(?:\A|[^\w.,])(?:10|2)\Z")
_SHORT_BASE: Final = re.compile(r"(?:\A|[\W\d])[^\W\d]{1,2}\Z")
_UNIT_BASE: Final = re.compile(r"(?:\A|\W)(?:min|mol|rad|ohm|bar|gal|lbs|sec|cos|sin|tan|log|exp|det)\Z")
_REFERRED: Final = re.compile(r"(?:[^\W\d_]{3,}|[.!?…,;:。！？\"”’»])\Z")
_LONG: Final = 24


def raised(
    text: str, *, before: str, after: str, linked: bool = False, defined: bool = False, fraction: bool = False
) -> str:
    """What stands for the raised `text` between what is `before` and `after` it on its line.

    `linked` says that it is a link, which only references are; `defined`, that a note begins with the same mark;
    `fraction`, that a stroke and lowered text follow.
    """
    text = " ".join(text.split())
    if not text:
        return ""
    if fraction:
        return f" {text}" if before[-1:].isdigit() else text
    if _BRACKETED.fullmatch(text) or len(text) > _LONG:
        return f"{_apart(before)}{text}{_gap(after)}"
    if linked or _is_reference(text, before, defined=defined):
        return f"{_apart(before)}[{text}]{_gap(after)}"
    if not before or before[-1].isspace():
        return _leading(text, before, after)
    return text if _is_plain(text, before) else f"^{_grouped(text)}{_gap(after)}"


def lowered(text: str, *, before: str, after: str) -> str:
    """What stands for the lowered `text`."""
    text = " ".join(text.split())
    if not text or before.endswith(_SOLIDUS):
        return text
    if not before or before[-1:].isspace() or len(text) > _LONG:
        return text if not before or before[-1:].isspace() else f" {text}"
    return f"_{_grouped(text)}{' ' if text[-1].isdigit() and after[:1].isdigit() else ''}"


def is_numeral(text: str) -> bool:
    """Whether a raised text that begins a paragraph begins a note."""
    return _MARK.fullmatch(text.strip()) is not None


def is_mark(text: str) -> bool:
    """Whether what refers to a note is its mark, with or without brackets."""
    return _MARK.fullmatch(text) is not None or _BRACKETED.fullmatch(text) is not None


def _leading(text: str, before: str, after: str) -> str:
    """After white space: a power, a note's mark or an isotope's number."""
    if _POWER_BASE.search(before.rstrip()):
        return f"^{_grouped(text)}"
    if _MARK.fullmatch(text) and text.isalnum() and not after[:1].strip():
        return f"[{text}]"
    return f"^{text}" if after[:1].isalpha() and text.isdigit() else text


def _is_plain(text: str, before: str) -> bool:
    """Ordinals, trade marks and signs, which read the same on the line."""
    lower = text.lower().rstrip(".")
    if lower in _ORDINALS:
        return before[-1].isdigit() or (len(lower) > 1 and _WORD_END.search(before) is None)
    return lower in _TRADE or _SYMBOLS.fullmatch(text) is not None


def _is_reference(text: str, before: str, *, defined: bool) -> bool:
    if _LIST.fullmatch(text):
        return True
    if not _MARK.fullmatch(text) or not text.isalnum() or not before or before[-1].isspace():
        return False
    if defined:
        return not (text.isdigit() and (_POWER_BASE.search(before) or _SHORT_BASE.search(before)))
    return text.isdigit() and not _UNIT_BASE.search(before) and bool(_REFERRED.search(before))


def _grouped(text: str) -> str:
    return text if _TOKEN.fullmatch(text) else f"({text})"


def _gap(after: str) -> str:
    return " " if after[:1].isalnum() else ""


def _apart(before: str) -> str:
    return " " if before and not before[-1].isspace() else ""
