"""PDF files made for tests."""

import io
from collections.abc import Callable, Sequence

from pypdf import PdfReader, PdfWriter
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Table, TableStyle


def pdf(*pages: str, title: str = "") -> bytes:
    """A PDF with one line on each page."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    if title:
        canvas.setTitle(title)
    for page in pages:
        canvas.drawString(72, 720, page)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def drawn_pdf(draw: Callable[[Canvas], None], *, title: str = "") -> bytes:
    """A PDF with what is drawn."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    canvas.setTitle(title)
    draw(canvas)
    canvas.save()
    return buffer.getvalue()


def set_pdf(*story: object, columns: int = 1, head: str = "", title: str = "") -> bytes:
    """A PDF with text in columns, and a running head and page numbers where there is a `head`."""
    buffer = io.BytesIO()
    width = 500 / columns
    frames = [Frame(50 + number * width, 50, width - 20, 740, id=str(number)) for number in range(columns)]

    def furnish(canvas: Canvas, document: BaseDocTemplate) -> None:
        if head:
            canvas.setFont("Helvetica", 8)
            canvas.drawString(50, 810, head)
            canvas.drawRightString(550, 25, f"Page {document.page} of 9")

    document = BaseDocTemplate(buffer, pagesize=A4, title=title)
    document.addPageTemplates([PageTemplate(frames=frames, onPage=furnish)])
    document.build(list(story))
    return buffer.getvalue()


def paragraph(text: str, style: str = "Normal") -> Paragraph:
    """A paragraph for `set_pdf`; styles are `Normal`, `Heading1`, `Title` and the like."""
    return Paragraph(text, getSampleStyleSheet()[style])


def table(rows: Sequence[Sequence[object]], *, ruled: bool = False) -> Table:
    """A table for `set_pdf`."""
    style = [("VALIGN", (0, 0), (-1, -1), "TOP"), *([("GRID", (0, 0), (-1, -1), 0.5, "black")] if ruled else [])]
    return Table(rows, style=TableStyle(style))


def bare_pdf(content: bytes, font: bytes) -> bytes:
    """A PDF of one page with a content stream and the dictionary of its font `/F1`."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 4 0 R>>>>/Contents 5 0 R>>",
        font,
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table_at = len(body)
    body += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return body + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % table_at


def encrypted_pdf(page: str) -> bytes:
    """A PDF that opens with a password only."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(page))))
    writer.encrypt("password", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()
