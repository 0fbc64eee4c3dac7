"""Decodes bytes as browsers do: https://encoding.spec.whatwg.org. Pure.

Python's codecs of the same names know fewer characters: on the web `gb2312` means GB 18030, `shift_jis` means
Windows-31J, `iso-8859-1` means Windows-1252. A byte that has no meaning becomes U+FFFD, alone.
"""

import codecs
import re
from collections.abc import Callable
from typing import Final

import webencodings

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

_CODECS: Final = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "big5": "big5hkscs",
    "iso-8859-8-i": "iso-8859-8",
    "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "windows-874": "cp874",
    "ibm866": "cp866",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}
_MULTIBYTE: Final = frozenset(["gbk", "gb18030", "big5", "euc-kr", "shift_jis", "utf-8", "utf-16le", "utf-16be"])
_EUC: Final = re.compile(rb"\x8f[\xa1-\xfe]{2}|\x8e[\xa1-\xdf]|[\xa1-\xfe]{2}|[\x00-\x7f]+|[\x80-\xff]")
_SHIFTED: Final = re.compile(rb"\x1b(\([BJI]|\$[@B])")


def name_of(label: str) -> str:
    """The encoding that browsers use for a label; empty for labels that they do not know."""
    found = webencodings.lookup(label)
    return found.name if found is not None else ""


def decode_as(content: bytes, name: str) -> str:
    """The text, of an encoding by the name that `name_of` gave."""
    special = _SPECIAL.get(name)
    if special is not None:
        return special(content)
    errors = "troupe-replace" if name in _MULTIBYTE else "troupe-single"
    return content.decode(_CODECS.get(name, name), errors)


def _single(error: UnicodeError) -> tuple[str, int]:
    """Of encodings with a byte a character; what they leave open below 0xA0 are controls, which nobody sees."""
    assert isinstance(error, UnicodeDecodeError)
    return REPLACEMENT * (error.end - error.start), error.end


def _multibyte(error: UnicodeError) -> tuple[str, int]:
    """One byte is lost; the next, if it is ASCII, begins anew."""
    assert isinstance(error, UnicodeDecodeError)
    if error.encoding == "gb18030" and error.object[error.start] == 0x80:
        return "\N{EURO SIGN}", error.start + 1
    end = error.end if error.encoding.startswith("utf") else error.start + 1
    return REPLACEMENT, end


codecs.register_error("troupe-single", _single)
codecs.register_error("troupe-replace", _multibyte)


def _euc_jp(content: bytes) -> str:
    return "".join(map(_euc_character, _EUC.findall(content)))


def _euc_character(character: bytes) -> str:
    """Two bytes are looked up where Shift_JIS has them, whose table is that of the web."""
    if character[0] < 0x80:
        return character.decode("ascii")
    if len(character) == 3:
        return character.decode("euc_jp", "replace")
    if character[0] == 0x8E:
        return character[1:].decode("cp932", "replace")
    if len(character) == 1:
        return REPLACEMENT
    return _jis(character[0] - 0x80, character[1] - 0x80)


def _jis(row: int, cell: int) -> str:
    """A character of JIS X 0208 with NEC's and IBM's, by row and cell, both from 0x21."""
    lead = (row - 0x21) // 2 + (0x81 if row < 0x5F else 0xC1)
    trail = cell + (0x1F + (cell >= 0x60) if row % 2 else 0x7E)
    return bytes([lead, trail]).decode("cp932", "replace")


def _iso_2022_jp(content: bytes) -> str:
    parts = _SHIFTED.split(content)
    text = [_seven_bits(parts[0])]
    for escape, run in zip(parts[1::2], parts[2::2], strict=True):
        if escape in (b"$@", b"$B"):
            text.append(_euc_jp(bytes(byte | 0x80 if 0x21 <= byte <= 0x7E else byte for byte in run)))
        elif escape == b"(I":
            text.append(bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in run).decode("cp932", "replace"))
        else:
            text.append(_seven_bits(run))
    return "".join(text)


def _seven_bits(content: bytes) -> str:
    return content.decode("ascii", "replace")


_SPECIAL: Final[dict[str, Callable[[bytes], str]]] = {
    "euc-jp": _euc_jp,
    "iso-2022-jp": _iso_2022_jp,
    "x-user-defined": lambda content: "".join(chr(byte if byte < 0x80 else 0xF700 + byte) for byte in content),
}
