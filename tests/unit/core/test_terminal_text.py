"""Text of others cannot act upon a terminal, and text of every script stays as it is."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.core.terminal_text import json_text, terminal_line, terminal_text

_REORDERS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_ODD = "\x1b\x9b\x07\r\n\t\u200b\u200d\u202e\u2066\ufeff🏴\U000e0067"
_ANY = st.text(st.characters() | st.sampled_from(_ODD + "\ud800"))
_MESSAGE = st.text(st.characters(codec="utf-8") | st.sampled_from(_ODD))


def acts(character: str) -> bool:
    if character in "\n\t":
        return False
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or ord(character) in _REORDERS


@given(_ANY)
def test_nothing_acts_upon_the_terminal(text: str) -> None:
    safe = terminal_text(text)
    assert not any(map(acts, safe))
    assert terminal_text(safe) == safe
    assert "\n" not in terminal_line(text)


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_letters_marks_and_signs_of_every_script_stay(text: str) -> None:
    assert terminal_text(text) == text


@given(st.recursive(_MESSAGE, lambda inner: st.lists(inner) | st.dictionaries(_MESSAGE, inner), max_leaves=5))
def test_json_says_the_same_and_is_safe(value: object) -> None:
    dumped = json_text(json.dumps(value, ensure_ascii=False))
    assert json.loads(dumped) == value
    assert not any(map(acts, dumped))


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\x1b[2J\x1b[Hb", r"a\x1b[2J\x1b[Hb"),
        ("\x9b2Jgone", r"\x9b2Jgone"),
        ("\x1b]52;c;cm0gLXJmIC8=\x07", r"\x1b]52;c;cm0gLXJmIC8=\x07"),
        ("\x1b]8;;http://evil\x1b\\bank\x1b]8;;\x1b\\", r"\x1b]8;;http://evil\x1b\bank\x1b]8;;\x1b" + "\\"),
        ("100 EUR\r1 EUR\x08\x7f", r"100 EUR\x0d1 EUR\x08\x7f"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("\u2067one\u2069", r"\u2067one\u2069"),
        ("two\u2028lines\u2029", r"two\u2028lines\u2029"),
        ("ad\u200bmin pay\u200dpal \ufeffx\u2060y", r"ad\u200bmin pay\u200dpal \ufeffx\u2060y"),
        ("caf\udce9 \ud83d", r"caf\xe9 \ud83d"),
        ("tag\U000e0073\U000e0074", r"tag\U000e0073\U000e0074"),
        ("\x90q\x9c\x98\x84", r"\x90q\x9c\x98\x84"),
    ],
)
def test_what_would_act_is_shown(hostile: str, shown: str) -> None:
    assert terminal_text(hostile) == shown


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهم",  # Persian, with a non-joiner
        "क्‍ष न्‍",  # Devanagari, with joiners
        "ශ්‍රී",  # Sinhala
        "ភាសា\u200bខ្មែរ",  # Khmer, with breaks of words
        "שלום\u200f, עולם\u200e!",  # Hebrew, with marks
        "مرحبا\u061c 123",  # Arabic
        "ᠮᠣᠩᠭᠤᠯ\u180eᠠ",  # Mongolian
        "👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 ❤️‍🔥 👁️‍🗨️",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f 🇪🇺 1️⃣",  # Scotland
        "Schiff\u00adfahrt, naïve, e\u0301, 10⁶, a\u00a0b",
        "かな ｶﾞ 漢字 한국어 中文",
        "\ttab\nand line",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert terminal_text(text) == text


def test_lines_of_other_systems_end_as_ours() -> None:
    assert terminal_text("one\r\ntwo\r\n") == "one\ntwo\n"
