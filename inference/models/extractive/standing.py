"""Whether a sentence says something when it stands alone."""

import re

from troupe.core.text.blocks import Kind, is_pair
from troupe.core.text.rows import tells

from .words import count_words

MAX_POINTER_WORDS = 16
# A paragraph of so many words is no title, though it ends without a mark.
SPOKEN_WORDS = 8
MAX_SYMBOLS = 0.08
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
_SYMBOL = re.compile(r"[{}\[\]()<>;$\\|#@^~_/]")
# What a short line without a mark has when it tells something: a value behind its first word, or a verb.
_TELLS = re.compile(
    r"\w+\W+(?:\w+\W+)*?(?:\d|(?:is|are|was|were|be|has|have|had|does|can|may|must|shall|should|will|needs?|takes?|costs?"
    r"|lasts?|means?|requires?|uses?|runs?|holds?|keeps?|opens?|closes?|starts?|stops?|ends?|supports?|contains?)\b)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"(?:chapter|section|part|page|table|fig(?:ure)?|appendix|step|item|no)\b\.?\s*\d", re.IGNORECASE
)


def stands_alone(text: str, kind: Kind) -> bool:
    """No single words, no pointers elsewhere, no links alone; short statements are as good as long ones.

    Lines of a paragraph that end without a mark may be titles, code or trees of files; items and rows need none.
    """
    words = count_words(_TARGET.sub("]", text))
    if words < 2 or text.endswith((":", "?", "？", "؟")) or not count_words(_LINK.sub("", text)):
        return False
    if _DANGLES.search(text) or _COMMENT.search(text):
        return False
    if _POINTS_AWAY.match(text) and words < MAX_POINTER_WORDS:
        return False
    if kind is Kind.ROW:
        return tells(text)
    return kind is not Kind.PARAGRAPH or text.rstrip(_CLOSERS).endswith(_MARKS) or _tells(text, words)


def _tells(text: str, words: int) -> bool:
    """Whether text without a final mark says something all the same."""
    if len(_SYMBOL.findall(text)) > max(2, MAX_SYMBOLS * len(text)) or _NUMBERED.match(text):
        return False
    return is_pair(text) or words >= SPOKEN_WORDS or (words > 2 and bool(_TELLS.match(text)))
