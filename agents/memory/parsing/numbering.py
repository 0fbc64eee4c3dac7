"""The numbers that a browser puts before the items of a list. Pure."""

from collections.abc import Mapping
from typing import Final

_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


class Numbering:
    """Counts the items of one list."""

    def __init__(self, kind: str, start: int, step: int) -> None:
        self._kind = kind
        self._number = start
        self._step = step

    def next(self, value: str) -> str:
        """The number of the next item with its full stop; `value` is what the item says of itself."""
        self._number = _integer(value, self._number)
        number, self._number = self._number, self._number + self._step
        return f"{_numeral(number, self._kind)}. "


def numbering_of(tag: str, attributes: Mapping[str, str | None]) -> Numbering | None:
    """None for lists without numbers."""
    if tag != "ol" or "list-style" in (attributes.get("style") or ""):
        return None
    return Numbering(
        attributes.get("type") or "1",
        _integer(attributes.get("start") or "", 1),
        -1 if "reversed" in attributes and "start" in attributes else 1,
    )


def _integer(text: str, otherwise: int) -> int:
    digits = text.strip().removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else otherwise


def _numeral(number: int, kind: str) -> str:
    if kind in ("a", "A") and number > 0:
        letters = ""
        while number:
            number, letter = divmod(number - 1, 26)
            letters = chr(ord(kind) + letter) + letters
        return letters
    if kind in ("i", "I") and 0 < number < 4000:
        numeral = _roman(number)
        return numeral if kind == "i" else numeral.upper()
    return str(number)


def _roman(number: int) -> str:
    numeral = ""
    for value, letters in _ROMAN:
        count, number = divmod(number, value)
        numeral += letters * count
    return numeral
