"""What a reader of an Office file sees is what is stored."""

import datetime
import io
import zipfile
from collections.abc import Sequence
from typing import Literal

import openpyxl
import pptx
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from pptx.util import Inches

from tests.support.office import archive, block, cell, docx, rows, run
from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.cell_values import shown
from troupe.agents.memory.parsing.media import media_type_of
from troupe.agents.memory.parsing.parse import parse
from troupe.core.errors import TroupeError
from troupe.core.media import DOCX, PPTX, XLSX

HEADING = block(run("Refund policy"), style="Heading1")


def read(content: bytes, media_type: str) -> ParsedDocument:
    return parse(content, uri="file:///x", media_type=media_type)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (block(run("10"), run("6", '<w:vertAlign w:val="superscript"/>'), run(" tasks")), "10^6 tasks"),
        (block(run("H"), run("2", '<w:vertAlign w:val="subscript"/>'), run("O")), "H_2O"),
        (block(run("10"), run("6", '<w:position w:val="10"/>'), run(" tasks")), "10^6 tasks"),
        (block(run("H"), run("2", '<w:position w:val="-6"/>'), run("O")), "H_2O"),
        (block(run("a"), run("b", "<w:vanish/>"), run("c", '<w:vanish w:val="0"/>')), "ac"),
        (block(run("was "), run("20", "<w:strike/>"), run(" now 25")), "was ~~20~~ now 25"),
        (block(run("a"), "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>", f"<w:ins>{run('b')}</w:ins>"), "ab"),
        (
            rows(
                [cell("Plan"), cell("Region"), cell("Price")],
                [cell("pro", '<w:vMerge w:val="restart"/>'), cell("Europe"), cell("20 euros")],
                [cell("", "<w:vMerge/>"), cell("Asia"), cell("")],
                [cell("all", '<w:gridSpan w:val="2"/>'), cell("9")],
            ),
            "Plan | Region | Price\npro | Europe | 20 euros\npro | Asia |\nall | all | 9",
        ),
        (HEADING + block(run("Ten days.")), "Refund policy\n\nTen days."),
    ],
    ids=["raised", "lowered", "moved up", "moved down", "hidden", "struck", "changes", "table", "heading"],
)
def test_word_files(body: str, text: str) -> None:
    assert read(docx(body), DOCX).text == text


@pytest.mark.parametrize(
    ("stated", "title"),
    [
        ("Terms", "Terms"),
        ("Microsoft Word - x.doc", "Refund policy"),
        ("", "Refund policy"),
        ("untitled", "Refund policy"),
    ],
)
def test_titles_of_word_files(stated: str, title: str) -> None:
    assert read(docx(HEADING, title=stated), DOCX).title == title


def presentation() -> bytes:
    deck = pptx.Presentation()
    deck.core_properties.title = "PowerPoint Presentation"
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Roadmap"
    frame = first.placeholders[1].text_frame
    frame.text = "The store keeps 10"
    raised = frame.paragraphs[0].add_run()
    raised.text = "6"
    raised.font._element.set("baseline", "30000")
    frame.paragraphs[0].add_run().text = " tasks."
    first.notes_slide.notes_text_frame.text = "Say hello."
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Prices"
    table = second.shapes.add_table(3, 3, Inches(1), Inches(2), Inches(6), Inches(2)).table
    for place, text in {
        (0, 0): "Plan",
        (0, 1): "EU",
        (0, 2): "Asia",
        (1, 0): "basic",
        (1, 2): "500",
        (2, 0): "pro",
    }.items():
        table.cell(*place).text = text
    table.cell(2, 1).text = "9"
    table.cell(2, 1).merge(table.cell(2, 2))
    buffer = io.BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def test_presentations() -> None:
    document = read(presentation(), PPTX)
    assert document.text == (
        "Roadmap\n\nThe store keeps 10^6 tasks.\n\nNotes: Say hello.\n\nPrices\n\n"
        "Plan | EU | Asia\nbasic |  | 500\npro | 9 | 9"
    )
    assert document.title == "Roadmap"
    assert [h.title for h in document.headings] == ["Roadmap", "Prices"]
    assert [a.header for a in document.atoms] == ["Plan | EU | Asia"]


def workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Quotas"
    sheet.append(["Plan", "Europe", "Asia", "Share"])
    sheet.append(["basic", None, 500, 0.2])
    sheet.append(["pro", 900.5, 700, 0.125])
    sheet["D2"].number_format, sheet["D3"].number_format, sheet["B3"].number_format = "0%", "0.0%", '#,##0.00 "€"'
    sheet["A5"], sheet["B5"], sheet["B6"] = "team", 1, 2
    sheet.merge_cells("A5:A6")
    hidden = book.create_sheet("secret")
    hidden.sheet_state = "hidden"
    hidden["A1"] = "nobody sees this"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_workbooks() -> None:
    document = read(workbook(), XLSX)
    assert document.text == (
        "Quotas\n\nPlan | Europe | Asia | Share\nbasic |  | 500 | 20%\npro | 900.50 € | 700 | 12.5%\n\n"
        "team | 1\nteam | 2"
    )
    assert [h.title for h in document.headings] == ["Quotas"]
    assert document.atoms[0].header == "Plan | Europe | Asia | Share"
    assert document.metadata == {"hidden_sheets": "1"}
    assert document.title == "Quotas"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (((None, "10"), ("superscript", "6"), (None, " users")), "10^6 users"),
        (((None, "2"), ("superscript", "1"), ("superscript", "0")), "2^10"),
        (((None, "H"), ("subscript", "2"), (None, "O")), "H_2O"),
        (((None, "The fee"), ("superscript", "1")), "The fee [1]"),
        (((None, "May 3"), ("superscript", "rd"), (None, ", noon")), "May 3rd, noon"),
        (((None, "plain "), (None, "text")), "plain text"),
    ],
)
def test_raised_and_lowered_parts_of_a_cell_keep_their_mark(
    parts: Sequence[tuple[Literal["superscript", "subscript"] | None, str]], text: str
) -> None:
    book = openpyxl.Workbook()
    runs = [TextBlock(InlineFont(vertAlign=move), part) for move, part in parts]
    book.worksheets[0]["A1"] = CellRichText(*runs)
    buffer = io.BytesIO()
    book.save(buffer)
    assert read(buffer.getvalue(), XLSX).text.endswith(text)


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (20.0, "General", "20"),
        (0.1 + 0.2, "General", "0.3"),
        (1234567, "#,##0", "1,234,567"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"),
        (0.5, "0%", "50%"),
        (5, '0" days"', "5 days"),
        (1.5, "0.###", "1.5"),
        (3, '_-* #,##0.00\\ "€"_-;-* #,##0.00', "3.00 €"),
        (12345678901234567890, "0", "12345678901234567890"),
        (True, "General", "TRUE"),
        (datetime.datetime(2024, 5, 1), "d/m/yyyy", "2024-05-01"),  # noqa: DTZ001
        (datetime.datetime(2024, 5, 1, 12, 30), "d/m/yyyy", "2024-05-01 12:30:00"),  # noqa: DTZ001
        (" two \n lines ", "@", "two lines"),
        (None, "0", ""),
    ],
)
def test_values_are_shown_as_in_their_cells(value: object, number_format: str, text: str) -> None:
    assert shown(value, number_format) == text


@pytest.mark.parametrize("media_type", [DOCX, PPTX, XLSX])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"plain text", "no archive"),
        (b"", "no archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "encrypted"),
        (archive({"a.txt": "x"}), "no such Office file"),
        (archive({"word/a": "x", "ppt/a": "x", "xl/a": "x"}), "damaged"),
    ],
    ids=["text", "empty", "old", "other archive", "hollow"],
)
def test_bad_files_are_told(content: bytes, words: str, media_type: str) -> None:
    with pytest.raises(TroupeError, match=words):
        read(content, media_type)


@pytest.mark.parametrize(("content", "media_type"), [(presentation(), PPTX), (workbook(), XLSX), (docx(HEADING), DOCX)])
def test_files_that_are_cut_are_told(content: bytes, media_type: str) -> None:
    with pytest.raises(TroupeError) as caught:
        read(content[: len(content) // 2], media_type)
    assert caught.value.reason_name == "UNREADABLE_DOCUMENT"


def test_archives_that_unpack_to_too_much_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("word/document.xml", bytes(300 << 20))
    with pytest.raises(TroupeError, match="unpacks to 300 MiB"):
        read(buffer.getvalue(), DOCX)


@pytest.mark.parametrize(("content", "media_type"), [(presentation(), PPTX), (workbook(), XLSX), (docx(HEADING), DOCX)])
def test_they_are_known_without_a_name(content: bytes, media_type: str) -> None:
    assert media_type_of("upload", "", content) == media_type
    assert media_type_of("upload", "application/octet-stream", content) == media_type
