"""Tables as lines of text: each value stays under its heading. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = re.compile(r"[\s\d.,:/%+()€$£¥-]*")
SEPARATOR: Final = " | "
_MAX_COLUMNS: Final = 1_000
_MAX_REPEATED: Final = 120  # code points; what is longer is not said again in each place that it spans
_MAX_SPANNED: Final = 50_000  # places in a table that are filled from another


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell; `rows` of 0 is all that are left."""

    text: str
    rows: int = 1
    columns: int = 1


def filled(groups: Sequence[Sequence[Sequence[Cell]]]) -> Iterator[list[str]]:
    """The rows with a value, or nothing, in each place. A cell that spans several is said in each of them.

    Groups are the parts of a table that no cell reaches out of.
    """
    budget = _MAX_SPANNED
    for rows in groups:
        carried: dict[int, tuple[int, str]] = {}  # by column: for how many rows more, and what
        for number, row in enumerate(rows):
            places, carried, used = _placed(row, carried, left=len(rows) - number, budget=budget)
            budget -= used
            yield places


def line(places: Sequence[str]) -> str:
    """A row as text; places at its end that are empty keep their separator."""
    return SEPARATOR.join(places).rstrip() if any(places) else ""


def _placed(
    row: Sequence[Cell], carried: dict[int, tuple[int, str]], *, left: int, budget: int
) -> tuple[list[str], dict[int, tuple[int, str]], int]:
    places: list[str] = []
    after: dict[int, tuple[int, str]] = {}
    cells, used = list(row), 0

    def put(text: str, rows: int) -> None:
        if rows > 1:
            after[len(places)] = (rows - 1, text)
        places.append(text)

    def take_carried() -> None:
        while len(places) in carried:
            rows, text = carried[len(places)]
            put(text, rows)

    for cell in cells:
        take_carried()
        columns = max(1, min(cell.columns, _MAX_COLUMNS - len(places), budget - used)) if len(cells) > 1 else 1
        rows = min(cell.rows or left, left, max(1, (budget - used) // columns))
        again = cell.text if len(cell.text) <= _MAX_REPEATED else ""
        for column in range(columns):
            put(again if column else cell.text, 1)
            if rows > 1:
                after[len(places) - 1] = (rows - 1, again)
        used += columns * rows - 1
    take_carried()
    return places, after, used


def names_columns(row: Sequence[str]) -> bool:
    """Whether a first row names columns: it holds words and no numbers."""
    filled = [cell for cell in row if cell]
    return len(filled) > 1 and not any(_NUMBER.fullmatch(cell) for cell in filled)
