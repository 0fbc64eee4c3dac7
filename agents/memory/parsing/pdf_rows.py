"""The runs of a page put together to rows: a line of prose, or the cells of a table beside each other. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from troupe.agents.memory.parsing.pdf_runs import Run

_SAME_LINE: Final = 0.35  # of the height
_NEXT_LINE: Final = 2.0
_MAX_CELL_LINES: Final = 6
_LABEL: Final = re.compile(
    r"[•▪▸◦\u2023\u2043*–—-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]|\d{1,2}(?:\.\d{1,3}){0,4}\.?|§\s?\d+"
)


@dataclass(slots=True)
class Row:
    """Cells from left to right, each with its lines from top to bottom."""

    cells: list[list[Run]]

    @property
    def base(self) -> float:
        """The base line of its first line."""
        return self.cells[0][0].base

    @property
    def lowest(self) -> float:
        """The base line of its last line."""
        return min(cell[-1].base for cell in self.cells)

    @property
    def first(self) -> Run:
        """Its first run."""
        return self.cells[0][0]

    @property
    def left(self) -> float:
        """Where it begins."""
        return min(run.left for run in self.cells[0])

    @property
    def right(self) -> float:
        """Where it ends."""
        return max(run.right for cell in self.cells for run in cell)

    @property
    def is_single(self) -> bool:
        """Whether it is one line of one cell."""
        return len(self.cells) == 1 and len(self.cells[0]) == 1


def rows_of(runs: Iterable[Run]) -> list[Row]:
    """Rows in reading order; runs come in the order in which they are drawn."""
    rows: list[Row] = []
    touched = 0  # the cell of the last row that was drawn last
    for run in runs:
        if rows and (place := _beside(rows[-1], run)) is not None:
            rows[-1].cells.insert(place, [run])
            touched = place
        elif rows and len(rows[-1].cells) > 1 and touched and _goes_on(rows[-1].cells[touched], run):
            rows[-1].cells[touched].append(run)
        elif (start := _row_above(rows, run)) is not None:
            rows[start:] = [Row([[row.first for row in rows[start:]], [run]])]
            touched = 1
        else:
            rows.append(Row([[run]]))
            touched = 0
    return [_without_label(row) for row in rows]


def _beside(row: Row, run: Run) -> int | None:
    """Where among the row's cells a run stands that is on the same line."""
    if abs(run.base - row.base) > _SAME_LINE * min(run.height, row.first.height):
        return None
    slack = 0.3 * run.height
    for place, cell in enumerate(row.cells):
        left, right = min(line.left for line in cell), max(line.right for line in cell)
        if run.right <= left + slack:
            return place
        if run.left < right - slack:
            return None
    return len(row.cells)


def _goes_on(cell: Sequence[Run], run: Run) -> bool:
    """Whether a run is the next line of a cell, not the next row."""
    last = cell[-1]
    below = last.base - run.base
    overlap = min(last.right, run.right) - max(last.left, run.left)
    if not 0 < below <= 1.5 * max(last.height, run.height) or overlap <= 0 or len(cell) >= _MAX_CELL_LINES:
        return False
    if run.left < min(line.left for line in cell) - run.height and run.right < last.right:
        return False
    return run.text[0].islower() or last.text[-1] in "-,;("


def _row_above(rows: Sequence[Row], run: Run) -> int | None:
    """Which of the last rows a run begins a second cell of: it is drawn after the lines of the first cell."""
    right = -1.0
    for back, row in enumerate(reversed(rows[-_MAX_CELL_LINES:]), 1):
        if not row.is_single:
            return None
        right = max(right, row.right)
        if run.left <= right + 0.3 * run.height:
            return None
        if abs(row.base - run.base) <= _SAME_LINE * min(run.height, row.first.height):
            lines = rows[len(rows) - back :]
            return len(rows) - back if back > 1 and _is_stacked(lines) else None
    return None


def _is_stacked(rows: Sequence[Row]) -> bool:
    return all(0 < above.base - below.base <= _NEXT_LINE * above.first.height for above, below in pairwise(rows))


def _without_label(row: Row) -> Row:
    """The row with the mark or number of a list item or a heading put before its text."""
    if len(row.cells) != 2 or len(row.cells[0]) != 1:
        return row
    label, text = row.cells[0][0], row.cells[1][0]
    if not _LABEL.fullmatch(label.text) or not any(map(str.isalpha, text.text)):
        return row
    if text.left - label.right > 4 * label.height:
        return row
    whole = Run(label.left, text.right, text.base, text.height, text.size, text.bold, f"{label.text} {text.text}")
    return Row([[whole, *row.cells[1][1:]]])
