"""Digits of all scripts."""

import pytest

from troupe.agents.builtin.evidence.wording import share
from troupe.core.text.digits import ascii_digits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port 8080", "port 8080"),
        ("٨٠٨٠ ۸۰۸۰ ८०८० ๘๐๘๐", "8080 8080 8080 8080"),
        ("1٢x३", "12x3"),
        ("10² ½ Ⅷ 八", "10² ½ Ⅷ 八"),
        ("", ""),
    ],
)
def test_decimal_digits_are_those_of_ascii(text: str, expected: str) -> None:
    assert ascii_digits(text) == expected


def test_a_number_supports_a_statement_in_whichever_digits() -> None:
    assert share("المنفذ 8080", "المنفذ هو ٨٠٨٠") == 1
