"""Presentations: each slide a section, with its tables, charts and notes."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any, Final

import pptx
from lxml.etree import LxmlError
from pptx.exc import PythonPptxError
from pptx.oxml.ns import qn

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.grid import Cell, filled
from troupe.agents.memory.parsing.office import STUMBLES, check_archive, damaged, stated_title
from troupe.agents.memory.parsing.scripts import lowered, raised
from troupe.agents.memory.parsing.values import SheetText

_MAX_GROUPS: Final = 20


def parse_pptx(content: bytes, uri: str) -> ParsedDocument:
    """Title: that of the core properties if it tells something, else the first slide's.

    Raises:
        TroupeError: it is damaged, encrypted or unpacks to too much.
    """
    check_archive(content, uri, "ppt/")
    text = SheetText()
    try:
        for number, slide in enumerate(pptx.Presentation(BytesIO(content)).slides, 1):
            _write_slide(text, slide, number)
    except (*STUMBLES, LxmlError, PythonPptxError) as error:
        raise damaged(uri, error) from None
    title = stated_title(content, uri) or next((h.title for h in text.headings if not h.title.startswith("Slide ")), "")
    return ParsedDocument(text=text.text, title=title, headings=text.headings, atoms=text.atoms)


def _write_slide(text: SheetText, slide: Any, number: int) -> None:
    if slide.element.get("show") == "0":  # hidden: nobody is shown it
        return
    titled = slide.shapes.title
    title = " ".join(_text(titled.element).split()) if titled is not None else ""
    text.heading(title or f"Slide {number}")
    for shape in _shapes(slide.shapes):
        if titled is not None and shape.shape_id == titled.shape_id:
            continue
        if getattr(shape, "has_table", False):
            text.table([row for row in filled([_cells(shape.table)]) if any(row)] or [[""]])
        elif getattr(shape, "has_chart", False):
            _write_chart(text, shape.chart)
        elif written := _text(shape.element):
            text.put(written)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None and frame.text.strip():
        text.put(f"Notes: {frame.text.strip()}")


def _shapes(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    for shape in shapes:
        if hasattr(shape, "shapes") and depth < _MAX_GROUPS:
            yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _cells(table: Any) -> list[list[Cell]]:
    """The cells by row; those that another spans are left out."""
    return [
        [
            Cell(" ".join(_text(cell._tc).split()), cell.span_height, cell.span_width)  # noqa: SLF001
            for cell in row.cells
            if not cell.is_spanned
        ]
        for row in table.rows
    ]


def _write_chart(text: SheetText, chart: Any) -> None:
    if chart.has_title and chart.chart_title.has_text_frame:
        text.put(chart.chart_title.text_frame.text)
    for plot in chart.plots:
        names = [str(category) for category in plot.categories]
        rows = [["", *names], *([series.name, *map(_number, series.values)] for series in plot.series)]
        if names:
            text.table(rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.15g}"


def _text(element: Any) -> str:
    """The paragraphs below an element, a line each, with raised and lowered text in plain characters."""
    lines = ("".join(_runs(paragraph)).strip() for paragraph in element.iter(qn("a:p")))
    return "\n".join(line for line in lines if line)


def _runs(paragraph: Any) -> Iterator[str]:
    before = ""
    runs = [run for run in paragraph if run.tag in (qn("a:r"), qn("a:br"), qn("a:fld"))]
    for place, run in enumerate(runs):
        text = "\n" if run.tag == qn("a:br") else (run.findtext(qn("a:t")) or "").replace("\v", "\n")
        after = (runs[place + 1].findtext(qn("a:t")) or "") if place + 1 < len(runs) else ""
        properties = run.find(qn("a:rPr"))
        shift = properties.get("baseline", "0") if properties is not None else "0"
        if shift.startswith("-"):
            text = lowered(text, before=before, after=after)
        elif shift.strip("0%"):
            text = raised(text, before=before, after=after)
        if properties is not None and properties.get("strike", "noStrike") != "noStrike" and text.strip():
            text = f"~~{text}~~"
        before = (before + text)[-40:]
        yield text
