"""Joins lines that were broken to fit a page. Pure."""

import re
from collections.abc import Sequence
from typing import Final

_BROKEN: Final = re.compile(r"([^\W\d_]+)[-\u2010\u00ad]\Z")
_HYPHENED: Final = re.compile(r"(?:\w\w|[a-z])[-\u2010\u00ad]\Z")  # not grades: A-
_FIRST_WORD: Final = re.compile(r"[^\W\d_]+")
# First parts after which a hyphen is more often the word's own than the line's.
_COMPOUND: Final = frozenset(
    ["all", "cross", "ex", "half", "high", "long", "low", "mid", "non", "self", "short", "well"]
)


def unwrap(lines: Sequence[str], words: frozenset[str]) -> str:
    """The lines as one paragraph; an empty one ends a line on purpose."""
    text = ""
    ended = False
    for line in lines:
        if not line:
            ended = True
            continue
        text = f"{text}\n{line}" if ended and text else join(text, line, words)
        ended = False
    return text


def is_hyphened(line: str) -> bool:
    """Whether a line ends inside a word or a name."""
    return _HYPHENED.search(line) is not None


def join(text: str, line: str, words: frozenset[str]) -> str:
    """The text with the next line after it; a hyphen that the line's end asked for goes."""
    if not text:
        return line
    broken, first = _BROKEN.search(text), _FIRST_WORD.match(line)
    if text[-1] in "-\u2010\u2013/" and not broken:
        return f"{text}{line}" if not text[-2:-1].isspace() else f"{text} {line}"
    if broken and line[0].isdigit():
        return f"{text[:-1]}-{line}"
    if not broken or not first:
        return f"{text} {line}"
    if not first[0][0].islower() or _keeps_hyphen(broken[1].lower(), first[0].lower(), words):
        return f"{text[:-1]}-{line}"
    return text[:-1] + line


def words_of(texts: Sequence[str]) -> frozenset[str]:
    """The words, and the pairs that a hyphen joins, that stand inside the lines."""
    return frozenset(word.lower() for text in texts for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", text))


def _keeps_hyphen(first: str, second: str, words: frozenset[str]) -> bool:
    if f"{first}{second}" in words:
        return False
    return f"{first}-{second}" in words or first in _COMPOUND
