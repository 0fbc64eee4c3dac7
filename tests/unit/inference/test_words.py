import unicodedata

import pytest

from troupe.inference.models.extractive.words import content_words, count_words


@pytest.mark.parametrize(
    "forms",
    [
        "cancel cancels cancelled cancelling cancellation",
        "retry retries retried retrying",
        "process processes processed",
        "call calls called calling",
        "plan plans planned planning planner",
        "rule rules",
        "status",
    ],
)
def test_forms_of_a_word_meet(forms: str) -> None:
    assert len(content_words(forms)) == 1


def test_function_words_carry_nothing() -> None:
    assert content_words("What is the one that it does?") == frozenset()


def test_identifiers_are_taken_apart() -> None:
    assert content_words("request_id") == content_words("request id")


def test_width_and_case_do_not_matter() -> None:
    assert content_words("ＲＥＤＩＳ") == content_words("redis")  # noqa: RUF001 - wide letters


def test_scripts_without_spaces_give_pairs() -> None:
    assert content_words("東京都") == {"東京", "京都"}
    assert count_words("東京都庁 is here") == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("दिन दान", {"दिन", "दान"}),
        ("co\u00adop zero\u200bwidth", {"coop", "zerowidth"}),
        ("10⁶", {"10", "6"}),
        ("ガラス カ゛", {"ガラ", "ラス", "ガ"}),
        ("naïve", {"naïve"}),
    ],
)
def test_marks_and_what_nobody_sees_cut_no_word(text: str, words: set[str]) -> None:
    assert content_words(unicodedata.normalize("NFD", text)) == content_words(text) == words


@pytest.mark.parametrize(
    "digits",
    ["٨٠٨٠", "۸۰۸۰", "८०८०", "৮০৮০", "๘๐๘๐", "８０８０", "\U0001d7d6\U0001d7d8\U0001d7d6\U0001d7d8"],  # noqa: RUF001
)
def test_digits_of_all_scripts_are_those_of_ascii(digits: str) -> None:
    assert content_words(f"port {digits}") == content_words("port 8080")
