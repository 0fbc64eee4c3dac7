"""How a quote reads: without the marks of Markdown, reStructuredText and HTML, with a full stop."""

import html
import re
from typing import Final

from troupe.core.text.rows import cells

_LINE_MARKS: Final = re.compile(r"^[ \t]*(?:>[ \t]?)*(?:#{1,6}[ \t]+)?(?:[-*+•‣◦][ \t]+)?(?:\[[ xX]\][ \t]+)?")
_ITEM_NUMBER: Final = re.compile(r"^\s*(?:>[ \t]?)*\d{1,3}[.)][ \t]+")  # elsewhere it may end a sentence
_CODE: Final = re.compile(r"(`{1,2})(?!`)(.+?)(?<![`\s])\1(?!`)_{0,2}", re.DOTALL)
_ROLE: Final = re.compile(r":[a-zA-Z][\w:+.-]*:(?=`)")
_RST_LINK: Final = re.compile(r"`([^`<]+?)\s*<[^`>]+>`__?")
_IMAGE: Final = re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])")
_LINK: Final = re.compile(r"\[([^\]\[]+)\](?:\([^)\s]*(?:\s+\"[^\"]*\")?\)|\[[^\]\[]*\])")
_NOTE: Final = re.compile(r"\s*\[\^?\d{1,4}(?:\s*[,–-]\s*\d{1,4})*\]_?")  # other texts' citations would pass for ours
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
_AUTOLINK: Final = re.compile(r"<(https?://[^\s>]+|[\w.+-]+@[\w.-]+)>")
_STRONG: Final = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", re.DOTALL)
_EMPHASIS: Final = re.compile(r"(?<![\w*])([*_])(?=[^\s*_])(.+?)(?<=[^\s*_])\1(?![\w*])", re.DOTALL)
_STRUCK: Final = re.compile(r"~~(.+?)~~", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\([\\`*_{}\[\]()#+.!|<>~-])")
_STRAY: Final = re.compile(r"\*\*|(?<!\w)__(?!\w)")
_LOOSE_MARK: Final = re.compile(r"(?<=\w) ([.,;:!?])(?=\s|$)")
_SPACE: Final = re.compile(r"\s+")
_PLAIN_WORD: Final = re.compile(r"[^\W\d_]+(?=[\s,;:.]|$)")
_ENDS: Final = ".!?…。！？؟۔।"  # noqa: RUF001 - marks of other scripts
_CLOSERS: Final = "\"'”’»)*_`]"


def readable(quote: str) -> str:
    """The quote as a sentence of its own."""
    return _as_sentence(plain(quote))


def readable_row(quote: str, columns: str) -> str:
    """The row of a table as a sentence: `First: second; name of third: third`, by the row that names the columns."""
    values, names = _cells(quote), _cells(columns)
    of_numbers = values[0][:1].isdigit()  # then the first cell names nothing
    named = len(names) == len(values) > (1 if of_numbers else 2)
    said = [
        f"{names[place]}: {cell}" if named and names[place] and (place or of_numbers) else cell
        for place, cell in enumerate(values)
    ]
    first, parts = said[0], [cell for cell, value in zip(said[1:], values[1:], strict=True) if value]
    if not first or (of_numbers and named):
        return _as_sentence("; ".join(filter(None, (first, *parts))))
    return _as_sentence(f"{first}: {'; '.join(parts)}" if parts else first)


def plain(text: str) -> str:
    """The text on one line, without markup; inline code keeps its backticks."""
    text = " ".join(_LINE_MARKS.sub("", line) for line in _ITEM_NUMBER.sub("", text).splitlines())
    codes: list[str] = []

    def keep(code: re.Match[str]) -> str:
        codes.append(f"`{_SPACE.sub(' ', code[2]).strip()}`")
        return f"\ue000{len(codes) - 1}\ue001"

    text = _CODE.sub(keep, _ROLE.sub("", _RST_LINK.sub(r"\1", text)))
    text = html.unescape(_TAG.sub("", _AUTOLINK.sub(r"\1", text)))
    text = _NOTE.sub("", _LINK.sub(r"\1", _IMAGE.sub("", text)))
    for mark in (_STRONG, _EMPHASIS):
        text = mark.sub(r"\2", text)
    text = _ESCAPE.sub(r"\1", _STRAY.sub("", _STRUCK.sub(r"\1", text)))
    text = re.sub("\ue000(\\d+)\ue001", lambda place: codes[int(place[1])] if int(place[1]) < len(codes) else "", text)
    return _LOOSE_MARK.sub(r"\1", _SPACE.sub(" ", text)).strip()


def _cells(row: str) -> list[str]:
    return [plain(cell) for cell in cells(row)]


def _as_sentence(text: str) -> str:
    word = _PLAIN_WORD.match(text)
    if word and word[0].isascii() and word[0].islower():
        text = text[0].upper() + text[1:]
    text = text.rstrip(" ,;:—–-")
    return text if not text or text.rstrip(_CLOSERS).endswith(tuple(_ENDS)) else text + "."
