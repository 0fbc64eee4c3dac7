"""Reads the characters of PDF pages, with their places, from PDFium."""

import ctypes
import functools
import math
import re
from collections.abc import Iterator
from typing import Final

import pypdfium2 as pdfium
from pypdfium2 import raw

from troupe.agents.memory.parsing.pdf_runs import Glyph

_HYPHEN: Final = 2  # PDFium's mark of a hyphen at the end of a line
# Where TeX's fonts (OT1, T1) and Distiller put ligatures, quotation marks and dashes,
# in fonts that say neither their names nor their characters.
_UNNAMED: Final = {
    2: 0xFB01,
    3: 0xFB02,
    0x0B: 0xFB00,
    0x0C: 0xFB01,
    0x0D: 0xFB02,
    0x0E: 0xFB03,
    0x0F: 0xFB04,
    0x10: 0x201C,
    0x11: 0x201D,
    0x12: 0x201E,
    0x13: 0xAB,
    0x14: 0xBB,
    0x15: 0x2013,
    0x16: 0x2014,
    0x1B: 0xFB00,
    0x1C: 0xFB01,
    0x1D: 0xFB02,
    0x1E: 0xFB03,
    0x1F: 0xFB04,
}
_SYMBOLS: Final = {0xF0B7: "•", 0xF0A7: "▪", 0xF0D8: "▸", 0xF0FC: "✓", 0xAD: "-"}
_FILLED: Final = frozenset([raw.FPDF_ANNOT_FREETEXT, raw.FPDF_ANNOT_WIDGET])
_BOLD: Final = re.compile(
    r"bold|black|heavy|semibd|-bd|^(?:[A-Z]{6}\+)?(?:CMB|SFBX|LMRoman\d+-Bold|NimbusRomNo9L-Medi)", re.IGNORECASE
)
_MADE_SPACE: Final = Glyph(" ", 0.0, 0.0, 0.0, 0.0, made=True)
_QUARTER: Final = math.pi / 2


def glyphs_of(page: pdfium.PdfPage) -> Iterator[Glyph]:
    """The page's characters in the order in which they are drawn, without those that only move the pen."""
    text_page = page.get_textpage()
    try:
        yield from _glyphs(text_page.raw)
    finally:
        text_page.close()


def flattened(page: pdfium.PdfPage) -> bool:
    """Makes what was filled into forms, and notes written on the page, part of it; whether there were any.

    The page has to be opened anew to see them.
    """
    for index in range(raw.FPDFPage_GetAnnotCount(page.raw)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, index)
        subtype = raw.FPDFAnnot_GetSubtype(annotation)
        raw.FPDFPage_CloseAnnot(annotation)
        if subtype in _FILLED:
            return bool(raw.FPDFPage_Flatten(page.raw, raw.FLAT_NORMALDISPLAY) == raw.FLATTEN_SUCCESS)
    return False


def _glyphs(handle: object) -> Iterator[Glyph]:
    box, x, y = raw.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    box_at, x_at, y_at = ctypes.byref(box), ctypes.byref(x), ctypes.byref(y)
    code_of, box_of, origin_of = raw.FPDFText_GetUnicode, raw.FPDFText_GetLooseCharBox, raw.FPDFText_GetCharOrigin
    size, bold, turn, font_height, font_base = 0.0, False, 0, 0.0, math.nan
    for index in range(raw.FPDFText_CountChars(handle)):
        code = code_of(handle, index)
        if code in (10, 13):
            continue
        box_of(handle, index, box_at)
        height = box.top - box.bottom
        if not height:  # a space that PDFium puts between words
            yield _MADE_SPACE
            continue
        origin_of(handle, index, x_at, y_at)
        base = y.value
        if base != font_base or not 0.9 < height / font_height < 1.1:  # another line or another font
            size, bold, turn = _font(handle, index)
            font_height, font_base = height, base
        text = chr(code) if 32 <= code < 0xAD else _character(handle, index, code)
        yield Glyph(text, box.left, box.right, base, height, size, bold, turn, box.bottom, box.top, x.value)


def _font(handle: object, index: int) -> tuple[float, bool, int]:
    """Size, whether it is bold, and by how many quarters it is turned against the page; -1 is aslant."""
    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(handle, index, matrix)
    size = raw.FPDFText_GetFontSize(handle, index) * math.hypot(matrix.c, matrix.d)
    quarters = raw.FPDFText_GetCharAngle(handle, index) / _QUARTER
    turn = round(quarters) % 4 if abs(quarters - round(quarters)) < 0.05 else -1
    return size, _is_bold(handle, index), turn


def _is_bold(handle: object, index: int) -> bool:
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    length = raw.FPDFText_GetFontInfo(handle, index, name, len(name), flags)
    return 0 < length <= len(name) and _names_bold(name.value)


@functools.lru_cache(maxsize=1_000)
def _names_bold(font: bytes) -> bool:
    return _BOLD.search(font.decode("latin-1")) is not None


def _character(handle: object, index: int, code: int) -> str:
    """What is not simply itself: hyphens at line ends, ligatures without a name, bullets of symbol fonts."""
    if code == _HYPHEN and raw.FPDFText_IsHyphen(handle, index) == 1:
        return "-"
    if code < 32:
        code = _UNNAMED.get(code, 0xFFFD)
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code < 0xE000 else _SYMBOLS.get(code) or chr(code)
