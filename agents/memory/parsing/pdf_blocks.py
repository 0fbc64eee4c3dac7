"""The rows of a page put together to paragraphs and tables. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from troupe.agents.memory.parsing.grid import line
from troupe.agents.memory.parsing.pdf_rows import Row
from troupe.agents.memory.parsing.pdf_runs import Run
from troupe.agents.memory.parsing.unwrap import is_hyphened, unwrap

_NEXT_ROW: Final = 3.5  # of the height
_NEXT_LINE: Final = 1.75
_MAX_CELL_ROWS: Final = 3  # rows of one cell between those of several
_INDENT: Final = 0.8
_PROSE_ROWS: Final = 5
_PROSE_LENGTH: Final = 25
_ITEM: Final = re.compile(
    r"(?:[•▪▸◦\u2023\u2043*–—-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5})[.)]|\[\w{1,8}\]|\d{1,2}(?:\.\d{1,3})+\.?)\s"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, or a table with a line a row; `size` is that of its font, 0 for a table."""

    text: str
    size: float = 0.0
    bold: bool = False
    lines: int = 1
    top: float = 0.0
    bottom: float = 0.0

    @property
    def is_table(self) -> bool:
        """Whether it is a table."""
        return not self.size


def blocks_of(rows: Sequence[Row], words: frozenset[str]) -> Iterator[Block]:
    """Paragraphs and tables in order; `words` are the document's, by which hyphens at line ends are judged."""
    prose: list[Row] = []
    number = 0
    while number < len(rows):
        end = _table_end(rows, number)
        if end == number:
            prose.append(rows[number])
            number += 1
            continue
        yield from _paragraphs(prose, words)
        prose = []
        yield from _table(rows[number:end], words)
        number = end
    yield from _paragraphs(prose, words)


def _table_end(rows: Sequence[Row], start: int) -> int:
    """Where the table that begins at a row ends; the row itself if none does."""
    if len(rows[start].cells) < 2:
        return start
    end, last = start, rows[start]
    columns = _columns(rows[start : start + 1])
    for number in range(start + 1, len(rows)):
        row = rows[number]
        if not 0 < last.lowest - row.base <= _NEXT_ROW * row.first.height:
            break
        if len(row.cells) > 1:
            columns = _columns(rows[start : number + 1])
            if len(columns) < 2:
                break
            end, last = number + 1, row
        elif not _is_in_column(row, columns) or number - end > _MAX_CELL_ROWS:
            break
    return end or start


def _columns(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """The places of the columns, from the row with the most cells and what stands beside them in the others."""
    widest = max(rows, key=lambda row: len(row.cells))
    columns = sorted(_extent(cell) for cell in widest.cells)
    for row in rows:
        for cell in row.cells:
            left, right = _extent(cell)
            touched = [n for n, column in enumerate(columns) if min(right, column[1]) > max(left, column[0])]
            if not touched:
                columns = sorted([*columns, (left, right)])
            elif len(touched) == 1:
                column = columns[touched[0]]
                columns[touched[0]] = (min(left, column[0]), max(right, column[1]))
    return _apart(columns)


def _apart(columns: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Columns that overlap are one."""
    merged: list[tuple[float, float]] = []
    for left, right in columns:
        if merged and left < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(right, merged[-1][1]))
        else:
            merged.append((left, right))
    return merged


def _is_in_column(row: Row, columns: Sequence[tuple[float, float]]) -> bool:
    """Whether a single cell stands inside one column, other than by filling the line."""
    left, right = _extent(row.cells[0])
    touched = [n for n, column in enumerate(columns) if min(right, column[1]) > max(left, column[0])]
    return len(columns) > 1 and len(touched) == 1 and right <= columns[touched[0]][1] + row.first.height


def _extent(cell: Sequence[Run]) -> tuple[float, float]:
    return min(run.left for run in cell), max(run.right for run in cell)


def _table(rows: Sequence[Row], words: frozenset[str]) -> Iterator[Block]:
    columns = _columns(rows)
    if _is_prose(rows, columns):
        for column in range(2):
            yield from _paragraphs([Row([row.cells[column]]) for row in rows if len(row.cells) > column], words)
        return
    grid = [_places(row, columns, words) for row in sorted(rows, key=lambda row: -row.base)]
    lines = [line(places) for places in _without_spanning(grid)]
    yield Block("\n".join(lines), lines=len(lines))


def _places(row: Row, columns: Sequence[tuple[float, float]], words: frozenset[str]) -> list[str]:
    places = [""] * len(columns)
    for cell in row.cells:
        column = _column_of(_extent(cell), columns)
        places[column] = f"{places[column]} {unwrap([run.text for run in cell], words)}".strip()
    return places


def _without_spanning(grid: Sequence[list[str]]) -> Iterator[list[str]]:
    """The rows; a value that stands between two rows which lack it belongs to both."""
    for number, places in enumerate(grid):
        filled = [column for column, text in enumerate(places) if text]
        if len(filled) == 1 and 0 < number < len(grid) - 1:
            above, below, column = grid[number - 1], grid[number + 1], filled[0]
            if not above[column] and not below[column]:
                above[column] = below[column] = places[column]
                continue
        yield places


def _is_prose(rows: Sequence[Row], columns: Sequence[tuple[float, float]]) -> bool:
    """Whether two columns of text were drawn line by line."""
    if len(columns) != 2 or len(rows) < _PROSE_ROWS:
        return False
    lengths = sorted(min(len(cell[0].text) for cell in row.cells) for row in rows)
    return lengths[len(lengths) // 2] >= _PROSE_LENGTH


def _column_of(extent: tuple[float, float], columns: Sequence[tuple[float, float]]) -> int:
    """The first column that a cell covers by more than a little, else the nearest."""
    left, right = extent
    overlaps = [min(right, column[1]) - max(left, column[0]) for column in columns]
    least = 0.3 * min(right - left, *(column[1] - column[0] for column in columns)) if columns else 0.0
    return next((n for n, overlap in enumerate(overlaps) if overlap > least), overlaps.index(max(overlaps)))


def _paragraphs(rows: Sequence[Row], words: frozenset[str]) -> Iterator[Block]:
    lines: list[Run] = []
    for run in (run for row in rows for run in _lines(row)):
        if lines and not _same_paragraph(lines, run):
            yield _paragraph(lines, words)
            lines = []
        lines.append(run)
    if lines:
        yield _paragraph(lines, words)


def _lines(row: Row) -> Iterator[Run]:
    """The lines of a row that is not part of a table."""
    if len(row.cells) == 1:
        yield from row.cells[0]
        return
    text = " ".join(cell[0].text for cell in row.cells)
    first = row.first
    yield Run(row.left, row.right, row.base, first.height, first.size, first.bold, text)
    yield from sorted((run for cell in row.cells for run in cell[1:]), key=lambda run: -run.base)


def _same_paragraph(lines: Sequence[Run], run: Run) -> bool:
    last, first = lines[-1], lines[0]
    height = max(last.height, run.height)
    if not 0.3 * height < last.base - run.base <= _NEXT_LINE * height:
        return False
    if abs(run.size - last.size) > 0.1 * last.size or (run.bold != last.bold and len(lines) == 1 and last.bold):
        return False
    if min(run.right, last.right) <= max(run.left, last.left):
        return False
    if is_hyphened(last.text):
        return True
    if abs(run.left + run.right - last.left - last.right) < height and (last.bold or len(lines) == 1):
        return True  # centred
    indented = run.left - last.left > _INDENT * height
    return not indented or _ITEM.match(last.text) is not None or (len(lines) == 1 and first.left > run.left)


def _paragraph(lines: Sequence[Run], words: frozenset[str]) -> Block:
    right = max(run.right for run in lines)
    texts = [lines[0].text]
    for above, below in pairwise(lines):
        word = below.text.split(" ", 1)[0]
        width = (below.right - below.left) / max(1, len(below.text)) * (len(word) + 1)
        fits = right - above.right > width + 0.5 * above.height
        if (fits or _ITEM.match(below.text)) and not is_hyphened(above.text):
            texts.append("")  # the next word would have fitted: the line was ended on purpose
        texts.append(below.text)
    first = lines[0]
    bold = all(run.bold for run in lines)
    return Block(unwrap(texts, words), first.size, bold, len(lines), first.base, lines[-1].base)
