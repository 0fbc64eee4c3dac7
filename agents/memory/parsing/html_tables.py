"""Tables of data, told from those that only lay out a page."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from selectolax.lexbor import LexborNode

from troupe.agents.memory.parsing import html_rules as rules
from troupe.agents.memory.parsing.grid import Cell, filled, line, names_columns

_PARTS: Final = frozenset(["tbody", "tfoot", "thead"])
_PAGE_PARTS: Final = "table, h1, h2, h3, h4, h5, h6, pre, article, section, main, hr, dl, form, nav, header, footer"
_MAX_CELL: Final = 1_500
_MAX_NAME: Final = 120  # of rows
_MAX_HEADER: Final = 500  # that is said again


@dataclass(frozen=True, slots=True)
class Table:
    """Lines of a table, the caption or the name of the rows first; `header` is the row that names its columns."""

    lines: Sequence[str]
    header: str


def read_table(table: LexborNode, line_of: Callable[[LexborNode], str]) -> Sequence[Table]:
    """The table's rows as lines, apart where a row names those below it; none if it only lays out a page."""
    groups = list(_groups(table))
    cells = [cell for group in groups for row in group for cell in row]
    if not cells or not _is_data(table, groups):
        return ()
    texts = {cell.mem_id: _text(cell, line_of) for cell in cells}
    headed = any(cell.tag == "th" for cell in cells)
    if not headed and any(len(text) > _MAX_CELL for text in texts.values()):
        return ()
    grid = [
        [[Cell(texts[cell.mem_id], _span(cell, "rowspan"), _span(cell, "colspan")) for cell in row] for row in group]
        for group in groups
    ]
    raw = (row for group in groups for row in group)
    placed = [(row, places) for row, places in zip(raw, filled(grid), strict=True) if any(places)]
    rows = [places for _, places in placed]
    lines = [line(places) for places in rows]
    header = lines[0] if len(rows) > 1 and _is_header(groups, rows[0], headed=headed) else ""
    captions = [text for child in _seen(table) if child.tag == "caption" and (text := line_of(child))]
    naming = _naming([row for row, _ in placed], rows) if 0 < len(header) <= _MAX_HEADER else frozenset[int]()
    return list(_parted(captions, lines, header, naming))


def _parted(captions: Sequence[str], lines: Sequence[str], header: str, naming: frozenset[int]) -> Iterator[Table]:
    """The lines, and below each that names those below it the header once more."""
    begun, before, stated = [*captions], len(captions) + 1, header
    for number, text in enumerate(lines):
        if number not in naming:
            begun.append(text)
            continue
        if len(begun) > before:
            yield Table(begun, stated)
            begun = []
        else:  # only the header
            begun = begun[: before - 1]
        begun += [text, header]
        before, stated = 0, f"{text}: {header}"
    yield Table(begun, stated)


def _naming(cells: Sequence[Sequence[LexborNode]], rows: Sequence[Sequence[str]]) -> frozenset[int]:
    """Which rows below the first name those below them: their one cell goes over all columns, and values follow."""
    width = len(rows[0])
    whole = [
        len(row) == 1
        and width > 1
        and _span(row[0], "colspan") >= width
        and len(places) == 1
        and len(places[0]) < _MAX_NAME
        for row, places in zip(cells, rows, strict=True)
    ]
    return frozenset(n for n in range(1, len(rows) - 1) if whole[n] and not whole[n + 1])


def _groups(table: LexborNode) -> Iterator[list[list[LexborNode]]]:
    loose: list[list[LexborNode]] = []
    for child in _seen(table):
        if child.tag in _PARTS:
            yield [_cells(row) for row in _seen(child) if row.tag == "tr"]
        elif child.tag == "tr":
            loose.append(_cells(child))
    if loose:
        yield loose


def _cells(row: LexborNode) -> list[LexborNode]:
    """Its cells; one that is only invisible keeps its place."""
    return [cell for cell in _seen(row, places=True) if cell.tag in ("td", "th")]


def _seen(parent: LexborNode, *, places: bool = False) -> Iterator[LexborNode]:
    for child in parent.iter():
        attributes = child.attributes
        keeps_place = places and rules.is_invisible(child, attributes)
        if keeps_place or not rules.is_unseen(child, child.tag or "", attributes, without_scripts=False):
            yield child


def _is_data(table: LexborNode, groups: Sequence[Sequence[Sequence[LexborNode]]]) -> bool:
    if any(cell.tag == "th" for group in groups for row in group for cell in row):
        return True
    if table.attributes.get("role") in ("none", "presentation"):
        return False
    rows = [row for group in groups for row in group]
    return any(len(row) > 1 for row in rows) and all(not cell.css_first(_PAGE_PARTS) for row in rows for cell in row)


def _is_header(groups: Sequence[Sequence[Sequence[LexborNode]]], first: Sequence[str], *, headed: bool) -> bool:
    """Whether the first row names the columns: it says so, or nothing does and it holds words only."""
    if not headed:
        return names_columns(first)
    cells = next((row for group in groups for row in group if row), ())
    return len(cells) > 1 and all(cell.tag == "th" for cell in cells)


def _text(cell: LexborNode, line_of: Callable[[LexborNode], str]) -> str:
    """What a cell says; a picture alone says what it is, so that a tick is no empty place."""
    if rules.is_invisible(cell, cell.attributes):
        return ""
    if text := line_of(cell):
        return text
    picture = cell.css_first("img[alt], [aria-label], svg title")
    if picture is None:
        return ""
    stated = picture.attributes.get("alt") or picture.attributes.get("aria-label") or picture.text() or ""
    return " ".join(stated.split())


def _span(cell: LexborNode, name: str) -> int:
    stated = (cell.attributes.get(name) or "").strip()
    if not (stated.isascii() and stated.isdigit() and len(stated) < 7):
        return 1
    return int(stated) if name == "rowspan" else max(1, int(stated))
