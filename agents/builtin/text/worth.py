"""Whether a quote says something when it stands alone."""

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_POINTER: Final = re.compile(
    r"^(?:please\s+)?(?:see|refer to|cf\.?|click|read|run|for (?:more|further|full) (?:details?|information))"
    r"\b",
    re.IGNORECASE,
)
_DANGLES: Final = re.compile(r"\b(?:here|below|above)\W*$", re.IGNORECASE)
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CODE: Final = re.compile(r"`[^`]*`")
_SYMBOL: Final = re.compile(r"[{}\[\]<>=;$\\|#@^~_/]")
_PROMPT: Final = re.compile(r"^\s*(?:>>>|\.\.\.|\$|%|#!|In \[)\s")
_MIN_WORDS: Final = 4
_SHORT_POINTER: Final = 9
_MAX_SYMBOLS: Final = 0.08


def says_something(text: str, *, row: bool = False) -> bool:
    """Whether readable text is a statement, and not a fragment, a pointer elsewhere, a question or code.

    A `row` of a table may consist of numbers and signs.
    """
    bare = _CODE.sub("code", text)
    words = len(_WORD.findall(bare)) + len(_UNSPACED.findall(bare)) // 2
    if words < _MIN_WORDS or bare.rstrip(".").endswith((":", "?", "？", "؟")):
        return False
    if _POINTER.match(bare) and words < _SHORT_POINTER:
        return False
    if _DANGLES.search(bare):
        return False
    return not _PROMPT.match(text) and (row or len(_SYMBOL.findall(bare)) <= _MAX_SYMBOLS * len(bare))
