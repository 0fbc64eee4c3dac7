"""Whether a quote says something when it stands alone."""

from typing import Final

import regex

_SPOKEN: Final = regex.compile(r"[\p{L}\p{N}]")
_POINTER: Final = regex.compile(
    r"^(?:please\s+)?(?:see|refer to|cf\.?|click (?:here|on)|read (?:more|the|about)"
    r"|for (?:more|further|full) (?:details?|information))\b",
    regex.IGNORECASE,
)
_DANGLES: Final = regex.compile(r"\b(?:here|below|above)\W*$", regex.IGNORECASE)
_WORD: Final = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_CODE: Final = regex.compile(r"`[^`]*`")
_SYMBOL: Final = regex.compile(r"[{}\[\]<>=;$\\|#@^~_/]")
_PROMPT: Final = regex.compile(r"^\s*(?:>>>|\.\.\.|\$|%|#!|In \[)\s")
_SHORT_POINTER: Final = 9
_MAX_SYMBOLS: Final = 0.08
_FEW_SYMBOLS: Final = 2


def says_something(text: str, *, row: bool = False) -> bool:
    """Whether readable text is a statement, and not a pointer elsewhere, a question or code. A number may be one.

    A `row` of a table may consist of numbers and signs.
    """
    bare = _CODE.sub("code", text)
    if not _SPOKEN.search(bare) or bare.rstrip(".").endswith((":", "?", "？", "؟")):
        return False
    if _POINTER.match(bare) and len(_WORD.findall(bare)) < _SHORT_POINTER:
        return False
    if _DANGLES.search(bare):
        return False
    return not _PROMPT.match(text) and (
        row or len(_SYMBOL.findall(bare)) <= max(_FEW_SYMBOLS, _MAX_SYMBOLS * len(bare))
    )
