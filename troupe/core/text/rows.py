"""Rows of tables: lines of cells with bars between them."""

import re
from typing import Final

_BAR: Final = re.compile(r"(?<!\\)\|")
_BARRED: Final = re.compile(r"[ \t]*\|")
_BETWEEN: Final = re.compile(r"(?<!\S)\|(?!\S)")
_CODE: Final = re.compile(r"`[^`]*`")
_MARKS: Final = (".", "!", "?", "。")
_DIGIT: Final = re.compile(r"\d")
_SPOKEN: Final = re.compile(r"[^\W_]")


def is_row(line: str) -> bool:
    """Whether bars part the line into cells; those of a table of Markdown stand outside too."""
    if _BARRED.match(line):
        return True
    return bool(_BETWEEN.search(_CODE.sub("", line))) and not line.rstrip().endswith(_MARKS)


def inside(row: str) -> str:
    """The row without the bars that stand outside, as it is written."""
    line = row.strip()
    return line[1:-1].strip() if len(line) > 1 and line.startswith("|") and line.endswith("|") else line


def cells(row: str) -> list[str]:
    """The texts of the cells of what stands `inside`; an empty cell keeps its place."""
    return [cell.strip() for cell in _BAR.split(row)]


def names_columns(row: str, below: str) -> bool:
    """Whether the first row of a table without a rule names what stands below: words over numbers."""
    names, values = cells(inside(row)), cells(inside(below))
    return len(names) == len(values) > 1 and all(names) and not _DIGIT.search(row) and bool(_DIGIT.search(below))


def tells(row: str) -> bool:
    """Whether at least two cells say something."""
    return sum(bool(_SPOKEN.search(cell)) for cell in cells(row)) > 1


def labelled(row: str, columns: str) -> str:
    """`plan: pro; price: 20 euros`, by the row that names the columns; without one, the cells alone."""
    values, names = cells(row), cells(columns)
    if len(names) != len(values):
        return "; ".join(filter(None, values))
    return "; ".join(f"{name}: {value}" if name else value for name, value in zip(names, values, strict=True) if value)
