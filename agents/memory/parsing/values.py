"""Tables of values as lines of text: files of separated values, and the sheets of workbooks."""

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from troupe.agents.memory.document import Heading, ParsedDocument, Span
from troupe.agents.memory.parsing.grid import line, names_columns

_LOOKED_AT: Final = 50
_DECLARED: Final = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


def parse_csv(text: str, separators: str) -> ParsedDocument:
    """Rows of cells. The separator is the one that cuts most lines into the same number of cells."""
    csv.field_size_limit(sys.maxsize)
    if declared := _DECLARED.match(text):
        separators, text = declared[1], text[declared.end() :]
    table = SheetText()
    table.add([[" ".join(cell.split()) for cell in row] for row in _rows(text, _separator(text, separators))])
    return ParsedDocument(text=table.text, atoms=table.atoms)


def _rows(text: str, separator: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


def _separator(text: str, separators: str) -> str:
    head = "".join(text.splitlines(keepends=True)[:_LOOKED_AT])

    def agreeing(separator: str) -> tuple[int, int]:
        widths = Counter(len(row) for row in _rows(head, separator) if row)
        width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(1, 0))
        return (count, width) if width > 1 else (0, 0)

    return max(separators, key=agreeing)


@dataclass(slots=True)
class SheetText:
    """Text that is put together from sheets."""

    parts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    atoms: list[Span] = field(default_factory=list)
    _length: int = 0

    @property
    def text(self) -> str:
        """What was added."""
        return "".join(self.parts).rstrip("\n")

    def heading(self, title: str, level: int = 1) -> None:
        """Adds a heading."""
        self.headings.append(Heading(level, title, self._length, self._length + len(title)))
        self.put(title)

    def put(self, text: str) -> None:
        """Adds a paragraph."""
        self.parts.append(f"{text}\n\n")
        self._length += len(text) + 2

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Adds the tables of a sheet: what stands between empty rows."""
        first = min((n for row in rows for n, cell in enumerate(row) if cell), default=0)
        table: list[Sequence[str]] = []
        for row in [*rows, []]:
            if any(row):
                table.append(_trimmed(row[first:]))
            elif table:
                self.table(table)
                table = []

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Adds one table."""
        width = len(rows[0])
        lines = [line([*row, *[""] * (width - len(row))]) for row in rows]
        header = lines[0] if len(lines) > 1 and names_columns(rows[0]) else ""
        text = "\n".join(lines)
        self.atoms.append(Span(self._length, self._length + len(text), header))
        self.put(text)


def _trimmed(row: Sequence[str]) -> Sequence[str]:
    end = len(row)
    while end and not row[end - 1]:
        end -= 1
    return row[:end]
