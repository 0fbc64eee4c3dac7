"""Whether a sentence says something when it stands alone."""

import re

from .blocks import Kind
from .words import count_words

MIN_WORDS = 4
MAX_POINTER_WORDS = 16
_MARKS = tuple(".!…;。！؟।॥۔｡")  # noqa: RUF001 - other scripts' marks
_CLOSERS = "\"'”’»)]*_`」』）"  # noqa: RUF001
# Sends the reader elsewhere.
_POINTS_AWAY = re.compile(
    r"(?:please )?(?:also )?(?:see|check out|refer to|visit|click|take a look|have a look|learn more"
    r"|read (?:more|the|about)|for (?:more|further|full|additional) )",
    re.IGNORECASE,
)
# No part of the text that readers see.
_COMMENT = re.compile(r"<!--|-->")
_DANGLES = re.compile(r"\b(?:here|below|above)\W*$|\bfound \[?here\b", re.IGNORECASE)
_LINK = re.compile(r"!?\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])|https?://\S+")
_TARGET = re.compile(r"\]\([^)]*\)|https?://\S+")


def stands_alone(text: str, kind: Kind) -> bool:
    """No fragments, no pointers elsewhere, no links alone.

    Lines of a paragraph that end without a mark are titles, code or trees of files; items and rows have no need of one.
    """
    words = count_words(_TARGET.sub("]", text))
    if words < MIN_WORDS or text.endswith((":", "?")) or not count_words(_LINK.sub("", text)):
        return False
    if _DANGLES.search(text) or _COMMENT.search(text):
        return False
    if _POINTS_AWAY.match(text) and words < MAX_POINTER_WORDS:
        return False
    return kind is not Kind.PARAGRAPH or text.rstrip(_CLOSERS).endswith(_MARKS)
