"""Digits of all scripts. Pure."""

import re
import unicodedata

_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")


def ascii_digits(text: str) -> str:
    """The text with each decimal digit as ASCII has it, so that numbers of two scripts can be compared."""
    return text if text.isascii() else _FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
