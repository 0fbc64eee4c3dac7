"""How many words two texts share. Pure."""

from typing import Final

import regex

from troupe.core.text.digits import ascii_digits

# Marks are parts of words: vowel signs in Indic scripts, accents and points elsewhere.
_WORD: Final = regex.compile(r"[\p{L}\p{M}\p{N}_]+")
_MIN_LETTERS: Final = 4
# `kill`, `killed` and `killing` begin alike, and so do `process` and `processes`.
_STEM_LETTERS: Final = 4


def share(of: str, held_by: str) -> float:
    """The share of a text's longer words and numbers that the other has, 0 to 1."""
    words = _stems(of)
    return len(words & _stems(held_by)) / len(words) if words else 0.0


def _stems(text: str) -> frozenset[str]:
    words = _WORD.findall(ascii_digits(text.casefold()))
    return frozenset(word[:_STEM_LETTERS] for word in words if len(word) >= _MIN_LETTERS or word.isdecimal())
