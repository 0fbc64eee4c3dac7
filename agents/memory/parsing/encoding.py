"""Bytes to text: a byte order mark decides, then what is declared, then UTF-8, then a guess; binary is refused."""

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import chardet
import regex
from chardet.registry import REGISTRY

from troupe.agents.memory.errors import unreadable
from troupe.agents.memory.parsing.charsets import REPLACEMENT, decode_as, name_of

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The encodings of the web, and those of files from DOS and old Macs.
_NAMES: Final = {
    "big5hkscs": "big5",
    "cp874": "windows-874",
    "cp932": "shift_jis",
    "cp949": "euc-kr",
    "euc_jis_2004": "euc-jp",
    "euc_jp": "euc-jp",
    "euc_kr": "euc-kr",
    "iso8859-16": "iso-8859-16",
    "mac-cyrillic": "x-mac-cyrillic",
    "shift_jis_2004": "shift_jis",
    **{name: name for name in ("cp437", "cp850", "cp852", "cp855", "cp857", "cp858", "mac-latin2", "mac-roman")},
}
_UNGUESSED: Final = frozenset(["utf-7", "utf-8", "hz", "iso2022_kr", "johab"])
_GUESSED: Final = [name for name in REGISTRY if (name_of(name) or name in _NAMES) and name not in _UNGUESSED]
_MACS: Final = ("mac-", "x-mac-", "macintosh")
_SIBLINGS: Final = [name for name in _GUESSED if not name.startswith(_MACS)]
_SAMPLE: Final = 100_000
_WESTERN: Final = "windows-1252"
_TELLING: Final = 8  # characters; fewer, each alone among ASCII, may be accents or quotation marks of any text
_ACCIDENTS: Final = 2  # a sign of a currency, a degree
_COMMON: Final = (*(f"windows-125{number}" for number in range(9)), "iso-8859-2", "iso-8859-9", "iso-8859-15")
# How much surer the library must be of another encoding: what several read alike it is nearly as sure of in each.
_BETTER: Final = 1.25
_CLEARLY: Final = 1.6
_RARE: Final = 1_000
_FEW: Final = 50
_SPARSE: Final = 200
_PATTERN: Final = 3  # NULs; fewer are accidents
_LETTERS: Final = 4  # characters of a script; in fewer a control character may be one that a text holds
_PLAIN: Final = 20  # characters that are enough to be taken for text
_MANY: Final = 5
_SHIFTS: Final = re.compile(rb"\x1b\$[@B][\x21-\x7e]{2}")
_HIGH: Final = re.compile(rb"[\x80-\xff]+")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_WORD: Final = re.compile(r"[^\W\d_]+")
_PLAIN_LETTER: Final = re.compile("[A-Za-z]")
_OTHER_SCRIPT: Final = re.compile("[^\x00-\u024f\u1e00-\u1eff]")
_ACCENTED_ONLY: Final = re.compile("[\xaa-\u024f\u1e00-\u1eff]+")
_LONG_WORD: Final = 4  # letters; as many accented ones and no plain one are no word of a Latin script
# The scripts whose letters have a control character as one of their two bytes, as hardly another text has.
_CONTROL_BYTES: Final = bytes(range(0x20))
_SCRIPTS: Final = (
    *("Greek", "Cyrillic", "Armenian", "Georgian", "Hebrew", "Arabic", "Syriac", "Thaana", "Devanagari", "Bengali"),
    *("Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao", "Tibetan"),
    *("Myanmar", "Khmer", "Ethiopic", "Mongolian"),
)
_BETWEEN: Final = r"\p{Inherited}\p{P}\p{S}\p{N}\p{Z}\p{Cf}\t-\r -~"
_ONE_SCRIPT: Final = [
    (regex.compile(rf"[\p{{{script}}}{_BETWEEN}]+"), regex.compile(rf"\p{{{script}}}")) for script in _SCRIPTS
]
_SEQUENCES: Final = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text without its byte order mark, and how it was read."""

    text: str
    encoding: str
    guessed: bool = False

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the document says of it; nothing where it is UTF-8, as nearly all are."""
        lost = self.text.count(REPLACEMENT)
        return {
            **({"encoding": self.encoding} if self.encoding != "utf-8" else {}),
            **({"encoding_guessed": "true"} if self.guessed else {}),
            **({"characters_lost": str(lost)} if lost else {}),
        }


def decode(content: bytes, uri: str, *, transport: str = "", declared: str = "") -> Decoded:
    """The text of the bytes; what has no meaning is U+FFFD.

    `transport` is the encoding that came with the bytes, `declared` the one that they state themselves; both as
    `charsets.name_of` names them.

    Raises:
        TroupeError: it is not text, or in an encoding that browsers refuse.
    """
    decoded = (
        _marked(content) or _wide(content) or _wide_script(content) or _narrow(content, uri, transport or declared)
    )
    if binary := _binary(decoded):
        raise unreadable(uri, f"it is binary, not text: {binary}")
    return replace(decoded, text=decoded.text.replace("\0", REPLACEMENT))


def _binary(decoded: Decoded) -> str:
    """How it shows that it is no text; a single NUL among thousands of characters, or in plain text, is an accident."""
    text = decoded.text
    if text.count("\0") * _RARE > len(text) and not _is_plain_but_one(text):
        return f"character {text.index(chr(0))} is NUL"
    if _is_lost(text):
        return f"most of it has no meaning in {decoded.encoding}"
    controls = len(_CONTROLS.findall(text, 0, _SAMPLE)) if decoded.guessed else 0
    return "neither UTF-8 nor free of control characters" if controls * _FEW > min(len(text), _SAMPLE) else ""


def _is_plain_but_one(text: str) -> bool:
    return len(text) >= _PLAIN and len(_CONTROLS.findall(text)) == 1 and REPLACEMENT not in text


def _is_lost(text: str) -> bool:
    return text.count(REPLACEMENT) * _MANY > len(text)


def _marked(content: bytes) -> Decoded | None:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return Decoded(content[len(mark) :].decode(encoding, "replace"), encoding)
    return None


def _wide(content: bytes) -> Decoded | None:
    """UTF-16 or UTF-32 without a mark: its NULs stand in one half of the places, and it reads as text."""
    sample = content[: _SAMPLE & ~3]
    if sample.count(0) < _PATTERN or sample.count(0) * _SPARSE < len(sample) or len(content) % 2:
        return None
    for encoding in _by_zeros(sample):
        text = sample.decode(encoding, "replace")
        if not _CONTROLS.search(text) and text.count(REPLACEMENT) <= 1:
            return Decoded(content.decode(encoding, "replace"), encoding, guessed=True)
    return None


def _wide_script(content: bytes) -> Decoded | None:
    """UTF-16 without a mark in a script other than ASCII's, so that there are hardly any NULs, or none."""
    if len(content) < 2 * _LETTERS or len(content) % 2:
        return None
    for place, encoding in enumerate(("utf-16-be", "utf-16-le")):
        halves = content[place:_SAMPLE:2]
        if 2 * len(halves.translate(None, _CONTROL_BYTES)) > len(halves) or _is_plain(content):
            continue
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        sample = text[:_SAMPLE]
        for whole, letter in _ONE_SCRIPT:
            if whole.fullmatch(sample) and 2 * len(letter.findall(sample)) >= len(sample):
                return Decoded(text, encoding, guessed=True)
    return None


def _is_plain(content: bytes) -> bool:
    """Whether it reads as UTF-8 and holds nothing but text, such as values between tabs."""
    try:
        return not _CONTROLS.search(content.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _by_zeros(sample: bytes) -> Iterator[str]:
    first, second, third, fourth = (sample[place::4].count(0) for place in range(4))
    quarter = len(sample) // 4
    if quarter and third + fourth >= 2 * quarter * 0.99:
        yield "utf-32-le"
    if quarter and first + second >= 2 * quarter * 0.99:
        yield "utf-32-be"
    even, odd = first + third, second + fourth
    if odd > 9 * even:
        yield "utf-16-le"
    if even > 9 * odd:
        yield "utf-16-be"


def _narrow(content: bytes, uri: str, stated: str) -> Decoded:
    if stated == "replacement":
        raise unreadable(uri, "it declares an encoding that browsers refuse; save the file as UTF-8")
    if stated and not _is_lost(text := decode_as(content, stated)):
        return Decoded(text, stated)
    if _SHIFTS.search(content[:_SAMPLE]) and content.isascii():
        return Decoded(decode_as(content, "iso-2022-jp"), "iso-2022-jp", guessed=True)
    try:
        return Decoded(content.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    if _is_nearly_utf_8(content):
        return Decoded(content.decode("utf-8", "replace"), "utf-8", guessed=True)
    encoding = _guess(content)
    return Decoded(decode_as(content, encoding), encoding, guessed=True)


def _is_nearly_utf_8(content: bytes) -> bool:
    """Whether of what is not ASCII nearly all is well-formed: by chance that is rare."""
    rest = _SEQUENCES.sub(b"", content)
    formed = len(content) - len(rest)
    strays = sum(map(len, _HIGH.findall(rest)))
    return formed > 4 * strays


def _guess(content: bytes) -> str:
    """The library's best guess with which the text is one that people write.

    Windows-1252, as in browsers, where there is little to go by; encodings of Macs for lines that end as there.
    """
    first = _HIGH.search(content)
    start = max(0, first.start() - 200) if first else 0
    sample = content[start : start + _SAMPLE]
    among = _GUESSED if b"\r" in sample and b"\n" not in sample else _SIBLINGS
    found = chardet.detect_all(sample, max_bytes=_SAMPLE, include_encodings=among)
    runs = _HIGH.findall(sample)
    few = len(runs) < _TELLING and all(len(run) == 1 for run in runs)
    if few and len(runs) <= _ACCIDENTS:
        return _WESTERN
    guesses: dict[str, float] = {}
    for guess in found:
        known = codecs.lookup(guess["encoding"] or "cp1252").name
        name = name_of(known) or _NAMES.get(known, "")
        if name and (name in _COMMON or not few) and _is_written(decode_as(sample, name)):
            guesses.setdefault(name, guess["confidence"])
    best = next(iter(guesses), _WESTERN)
    needed = guesses.get(_WESTERN, 0.0) * (_CLEARLY if few else _BETTER)
    return best if guesses.get(best, 0.0) > needed else _WESTERN


def _is_written(text: str) -> bool:
    """Whether words are of one script each: accents stand among plain letters, and other scripts apart from them.

    The bytes of short texts fit several encodings, and the library weighs letters, not words: `perchй` is no Russian,
    and `Ïðèâåò` nothing else.
    """
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    mixed = sum(_PLAIN_LETTER.search(word) is not None and _OTHER_SCRIPT.search(word) is not None for word in words)
    bare = sum(len(word) >= _LONG_WORD and _ACCENTED_ONLY.fullmatch(word) is not None for word in words)
    controls = len(_CONTROLS.findall(text))
    return (mixed + bare) * 3 <= len(words) and controls * _FEW <= len(text) and not _is_lost(text)
