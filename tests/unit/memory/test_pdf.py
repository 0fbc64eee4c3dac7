"""What a reader of a PDF sees is what is stored."""

import io

import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from tests.support.pdfs import bare_pdf, drawn_pdf, paragraph, pdf, set_pdf, table
from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.parse import parse
from troupe.agents.memory.parsing.titles import is_telling
from troupe.agents.memory.parsing.unwrap import unwrap
from troupe.core.errors import TroupeError
from troupe.core.media import PDF

WORDS = "Refunds take ten working days after the goods have arrived, and buyers may wait longer than that. "
WIN_ANSI = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"


def read(content: bytes) -> ParsedDocument:
    return parse(content, uri="file:///doc.pdf", media_type=PDF)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("The store keeps 10<super>6</super> tasks.", "The store keeps 10^6 tasks."),
        ("A rate of 10<super>-3</super> is low.", "A rate of 10^-3 is low."),
        ("Water is H<sub>2</sub>O here.", "Water is H_2O here."),
        ("The area is 5 m<super>2</super>.", "The area is 5 m^2."),
        ("It comes on the 3<super>rd</super> day.", "It comes on the 3rd day."),
        ("It costs 5 euros<super>1</super> a month.", "It costs 5 euros [1] a month."),
        ("The goods have arrived.<super>2</super> Then more.", "The goods have arrived. [2] Then more."),
    ],
)
def test_raised_text_keeps_its_mark(source: str, text: str) -> None:
    assert read(set_pdf(paragraph(source))).text == text


def test_text_raised_by_its_place_and_notes_below() -> None:
    content = b"""BT /F1 12 Tf 72 700 Td (The store keeps up to 10) Tj /F1 8 Tf 128 5 Td (6) Tj
        /F1 12 Tf 6 -5 Td ( tasks for every project.) Tj ET"""
    assert read(bare_pdf(content, WIN_ANSI)).text == "The store keeps up to 10^6 tasks for every project."
    story = paragraph("A seat costs 5<super>1</super> euros."), paragraph("<super>1</super> Without tax.")
    assert read(set_pdf(*story)).text.split("\n") == ["A seat costs 5 [1] euros.", "[1] Without tax."]


@pytest.mark.parametrize(
    ("codes", "differences", "word"),
    [
        (b"signi\\002cant", b"/Differences[2/fi/ffi/ff]", "significant"),
        (b"di\\003cult", b"/Differences[2/fi/ffi/ff]", "difficult"),
        (b"e\\014ective", b"/Differences[12/ff]", "effective"),
        (b"signi\\002cant", b"", "significant"),
        (b"di\\016cult", b"", "difficult"),
        (b"1\\0252", b"", "1–2"),
        (b"a\\007b", b"", "a\ufffdb"),
    ],
)
def test_ligatures_are_letters(codes: bytes, differences: bytes, word: str) -> None:
    encoding = b"/Encoding<</Type/Encoding/BaseEncoding/WinAnsiEncoding" + differences + b">>" if differences else b""
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Times-Roman" + encoding + b">>"
    assert read(bare_pdf(b"BT /F1 12 Tf 72 700 Td (" + codes + b") Tj ET", font)).text == word


@pytest.mark.parametrize("ruled", [True, False])
def test_empty_cells_keep_their_place(ruled: bool) -> None:
    rows = [
        ["Plan", "Requests in Europe", "Requests in Asia"],
        ["basic", "", "500 requests a day"],
        ["", "900 requests a day", "700 requests a day"],
        ["pro", "1000", ""],
    ]
    document = read(set_pdf(paragraph("Quotas", "Heading1"), paragraph(WORDS), table(rows, ruled=ruled)))
    lines = ["Plan | Requests in Europe | Requests in Asia", "basic |  | 500 requests a day"]
    lines += [" | 900 requests a day | 700 requests a day", "pro | 1000 |"]
    (atom,) = document.atoms
    assert document.text[atom.start : atom.end] == "\n".join(lines)
    assert atom.header == lines[0]
    assert document.title == "Quotas"


def test_cells_of_several_lines_are_put_together() -> None:
    long = paragraph("A long note that wraps over several lines because its column is narrow. " * 2)
    document = read(set_pdf(table([["Plan", "Notes", "Price"], ["basic", long, "5"], ["pro", "None.", "9"]])))
    assert document.text.split("\n") == [
        "Plan | Notes | Price",
        "basic | " + ("A long note that wraps over several lines because its column is narrow. " * 2).strip() + " | 5",
        "pro | None. | 9",
    ]


def test_two_columns_are_read_one_after_the_other() -> None:
    sections = [part for n in range(12) for part in (paragraph(f"Section {n}", "Heading2"), paragraph(WORDS * 5))]
    document = read(set_pdf(*sections, columns=2, head="The report of the shop"))
    assert document.text.count(WORDS.strip()) == 60
    assert [h.title for h in document.headings if h.level > 1] == [f"Section {n}" for n in range(12)]
    assert "|" not in document.text


def test_running_heads_and_page_numbers_are_said_once_or_not() -> None:
    document = read(set_pdf(*[paragraph(f"{n}. {WORDS * 6}") for n in range(30)], head="Terms of the shop"))
    assert len([h for h in document.headings if h.title.startswith("Page ")]) > 2
    assert document.text.count("Terms of the shop") == 1
    assert "of 9" not in document.text


def test_a_paragraph_goes_on_over_the_page() -> None:
    document = read(set_pdf(*[paragraph(WORDS * 200)], head="Terms"))
    assert document.text.count(WORDS.strip()) == 200
    assert document.text.count("\n\n") <= 4


def test_lines_that_end_on_purpose_stay() -> None:
    def draw(canvas: Canvas) -> None:
        lines = ["Shop Ltd", "1 Long Lane", "AB1 2CD Town", "The address of the shop for letters and parcels is above."]
        for number, line in enumerate(lines):
            canvas.drawString(72, 700 - 14 * number, line)

    assert read(drawn_pdf(draw)).text.split("\n")[:3] == ["Shop Ltd", "1 Long Lane", "AB1 2CD Town"]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["a signi-", "ficant word"], "a significant word"),
        (["a well-", "known word"], "a well-known word"),
        (["the up-", "stream, and up-stream"], "the up-stream, and up-stream"),
        (["pages 10-", "20 of it"], "pages 10-20 of it"),
        (["the Rhine-", "Main line"], "the Rhine-Main line"),
        (["in ISO-", "8859-1"], "in ISO-8859-1"),
        (["see CVE-2024-", "1234 on"], "see CVE-2024-1234 on"),
        (["one", "two"], "one two"),
        (["one -", "two"], "one - two"),
        (["one", "", "two"], "one\ntwo"),
    ],
)
def test_hyphens_of_lines_go(lines: list[str], text: str) -> None:
    assert unwrap(lines, frozenset(["up-stream"])) == text


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["The maxi-", "mum number of requests is 500."], "The maximum number of requests is 500."),
        (["It is written in ISO-", "8859-1, as older pages of the shop are."], "It is written in ISO-8859-1, as"),
        (["CVE-2024-", "1234 is mended in the release that is out now."], "CVE-2024-1234 is mended"),
    ],
)
def test_a_line_that_ends_in_a_hyphen_goes_on(lines: list[str], text: str) -> None:
    def draw(canvas: Canvas) -> None:
        for number, line in enumerate(lines):
            canvas.drawString(72, 700 - 14 * number, line)

    assert read(drawn_pdf(draw)).text.startswith(text)


def test_filled_in_forms_are_read() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(72, 700, "Name of the buyer:")
        canvas.acroForm.textfield(name="buyer", value="Ada Lovelace", x=200, y=690, width=200, height=24)

    assert "Ada Lovelace" in read(drawn_pdf(draw)).text


def test_turned_pages_are_read_upright() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.rotate(90)
        canvas.drawString(100, -100, "The port is 8080.")
        canvas.drawString(100, -120, "The limit is 10 tasks for every project and every day.")

    assert read(drawn_pdf(draw)).text.split("\n") == [
        "The port is 8080.",
        "The limit is 10 tasks for every project and every day.",
    ]


def scan(canvas: Canvas) -> None:
    canvas.drawImage(ImageReader(Image.new("RGB", (20, 20), "grey")), 0, 0, 500, 700)


def test_scans_are_told() -> None:
    with pytest.raises(TroupeError, match="pictures of its pages"):
        read(drawn_pdf(scan))

    def draw(canvas: Canvas) -> None:
        canvas.drawString(72, 700, "The only page with text.")
        canvas.showPage()
        scan(canvas)

    assert read(drawn_pdf(draw)).metadata == {"pages_without_text": "1 of 2"}


@pytest.mark.parametrize(
    "title",
    [
        "",
        "untitled",
        "Untitled Document 2",
        "(anonymous)",
        "Microsoft Word - x.doc",
        "Microsoft PowerPoint - Q3 final.pptx",
        "slide 1",
        "PowerPoint Presentation",
        "report.tex",
        "C:\\Users\\ada\\report.docx",
        "paper_v2_final",
        "main",
        "doc",
        "20240501123456",
        "Dokument1",
        "LaTeX output",
        "Acrobat Distiller 9.0",
        "LibreOffice Writer",
        "C:\\Users\\Ada Byron\\My report",
        "/home/ada byron/my report",
        "my final report.docx",
        "Documento sin título",
        "Présentation1",
        "Новый документ 3",
        "無題のドキュメント",
    ],
)
def test_titles_that_tell_nothing_give_way_to_the_first_heading(title: str) -> None:
    content = set_pdf(paragraph("Terms of the shop", "Title"), paragraph(WORDS), title=title)
    assert read(content).title == "Terms of the shop"


@pytest.mark.parametrize(
    "title",
    [
        *("The report", "Report on refunds 2024", "Slide rules", "Wordsworth", "Page layout", "Q3"),
        *("Word: its origin", "Latex allergy", "Pages of history", "Acrobatics", "Canvas painting", "Outlook for 2025"),
        *("COVID-19", "GPT-4", "1984", "State-of-the-art", "TCP/IP", "LibreOffice handbook"),
    ],
)
def test_titles_that_tell_something_stay(title: str) -> None:
    assert read(pdf("Text.", title=title)).title == title
    assert is_telling(title, "file:///x.pdf")


@pytest.mark.parametrize("title", ["a" + "_b" * 200 + "!", "x" * 100_000 + "!", "word " + "1 " * 200 + "x!"])
def test_long_titles_are_judged_at_once(title: str) -> None:
    assert is_telling(title, "file:///x.pdf")


def test_structure_lies_inside_the_text() -> None:
    document = read(set_pdf(paragraph("Head", "Heading1"), paragraph(WORDS * 9), table([["a", "b"], ["c", "d"]])))
    assert all(document.text[h.start : h.end] == h.title for h in document.headings if h.level > 1)
    assert [document.text[a.start : a.end] for a in document.atoms] == ["a | b\nc | d"]


def test_text_on_the_line_is_one_paragraph() -> None:
    buffer = io.BytesIO(set_pdf(paragraph(WORDS * 10)))
    assert "\n" not in read(buffer.getvalue()).text
