"""Workbooks: each sheet a section, each value as its cell shows it."""

import warnings
from collections.abc import Sequence
from io import BytesIO
from itertools import groupby
from typing import Any, Final

import openpyxl
from openpyxl.cell.rich_text import CellRichText
from openpyxl.utils.exceptions import InvalidFileException

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.cell_values import shown
from troupe.agents.memory.parsing.office import STUMBLES, check_archive, damaged, stated_title
from troupe.agents.memory.parsing.scripts import lowered, raised
from troupe.agents.memory.parsing.titles import is_telling
from troupe.agents.memory.parsing.values import SheetText

_WHOLE_BYTES: Final = 4 << 20  # of the file; larger ones are read cell by cell, without merged cells
_MAX_REPEATED: Final = 10_000


def parse_xlsx(content: bytes, uri: str) -> ParsedDocument:
    """Title: that of the core properties if it tells something, else the first sheet's name if it does.

    Raises:
        TroupeError: it is damaged, encrypted or unpacks to too much.
    """
    check_archive(content, uri, "xl/")
    text, hidden = SheetText(), 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on extensions that it does not know
            book = openpyxl.load_workbook(
                BytesIO(content), read_only=len(content) > _WHOLE_BYTES, data_only=True, rich_text=True
            )
            for sheet in book.worksheets:
                if sheet.sheet_state == "visible":
                    _write_sheet(text, sheet)
                else:
                    hidden += 1
            book.close()
    except (*STUMBLES, InvalidFileException) as error:
        raise damaged(uri, error) from None
    name = text.headings[0].title if text.headings else ""
    return ParsedDocument(
        text=text.text if text.atoms else "",
        title=stated_title(content, uri) or (name if is_telling(name, uri) else ""),
        headings=text.headings,
        atoms=text.atoms,
        metadata={"hidden_sheets": str(hidden)} if hidden else {},
    )


def _write_sheet(text: SheetText, sheet: Any) -> None:
    rows = [[shown(_plain(cell.value), cell.number_format) for cell in row] for row in sheet.iter_rows()]
    for merged in getattr(sheet, "merged_cells", None) or ():
        _repeat(rows, merged.min_row - 1, merged.max_row, merged.min_col - 1, merged.max_col)
    if any(cell for row in rows for cell in row):
        text.heading(sheet.title)
        text.add(rows)


def _plain(value: Any) -> Any:
    """The value; of a text whose parts look different, its text, with marks where it is raised or lowered."""
    if not isinstance(value, CellRichText):
        return value
    parts = [(getattr(getattr(part, "font", None), "vertAlign", None), str(part)) for part in value]
    runs = [(move, "".join(text for _, text in run)) for move, run in groupby(parts, key=lambda part: part[0])]
    text = ""
    for place, (move, run) in enumerate(runs):
        after = runs[place + 1][1] if place + 1 < len(runs) else ""
        if move == "superscript":
            text += raised(run, before=text, after=after)
        elif move == "subscript":
            text += lowered(run, before=text, after=after)
        else:
            text += run
    return text


def _repeat(rows: list[list[str]], top: int, bottom: int, left: int, right: int) -> None:
    """Says in each place of merged cells what they show; what fills a whole row is said once."""
    if not rows or top >= len(rows) or left >= len(rows[top]) or (bottom - top) * (right - left) > _MAX_REPEATED:
        return
    if not any(_beside(row, left, right) for row in rows[top:bottom]):
        return
    for row in rows[top:bottom]:
        for column in range(left, min(right, len(row))):
            row[column] = rows[top][left]


def _beside(row: Sequence[str], left: int, right: int) -> bool:
    return any(row[:left]) or any(row[right:])
