import pytest

from troupe.core.text.blocks import Kind
from troupe.inference.models.extractive.asking import attribute, weight
from troupe.inference.models.extractive.standing import stands_alone

SAID = "The Humber bridge has carried cars since it was finished."


@pytest.mark.parametrize(
    ("better", "worse", "question"),
    [
        (
            "Typer is a library for commands of all kinds.",
            "This installs Typer and all of its commands.",
            "What is Typer?",
        ),
        (
            "The bridge was opened in 1981 by the Queen.",
            "The bridge was opened by the Queen herself.",
            "When was it opened?",
        ),
        ("The main span measures 1,410 metres in all.", "The main span is rather long in all.", "How long is it?"),
        (SAID, f"It {SAID}", "What is known?"),
    ],
)
def test_some_sentences_fit_a_question_better_by_their_form(better: str, worse: str, question: str) -> None:
    assert weight(better, Kind.PARAGRAPH, question) > weight(worse, Kind.PARAGRAPH, question)


def test_rows_of_numbers_answer_questions_for_numbers() -> None:
    row = "html parser | 61.02 sec"
    assert weight(row, Kind.ROW, "How long does it take?") > weight(row, Kind.ROW, "How does it parse?")


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What is the price of a ticket?", "price"),
        ("What is the purpose of a ticket?", ""),
        ("How much is a ticket?", ""),
    ],
)
def test_the_attribute_that_is_asked_for(question: str, asked: str) -> None:
    assert attribute(question) == asked


@pytest.mark.parametrize(
    "text",
    [
        "Overview.",
        "Chapter 3 Installation",
        "The gateway and its parts",
        "See the manual for more.",
        "[The manual of all](https://x.org/a)",
        "What is it for?",
        "src/ the sources",
        "More is told about that below.",
    ],
)
def test_what_does_not_stand_alone(text: str) -> None:
    assert not stands_alone(text, Kind.PARAGRAPH)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Redis is required.", Kind.PARAGRAPH),
        ("It is free.", Kind.PARAGRAPH),
        ("Timeout: 30 s", Kind.PARAGRAPH),
        ("retries = 5", Kind.PARAGRAPH),
        ("The port is 8080", Kind.PARAGRAPH),
        ("Refunds take ten days", Kind.PARAGRAPH),
        ("Port 8080", Kind.ITEM),
        ("pro | 20 euros", Kind.ROW),
        ("a | 1", Kind.ROW),
        ("दाम ५ रुपये।", Kind.PARAGRAPH),
        ("価格は5ユーロ。", Kind.PARAGRAPH),
    ],
)
def test_short_statements_stand_alone(text: str, kind: Kind) -> None:
    assert stands_alone(text, kind)


def test_a_row_of_one_cell_does_not_stand_alone() -> None:
    assert not stands_alone("pro | ", Kind.ROW)


def test_items_need_no_full_stop() -> None:
    assert stands_alone("retries of calls that failed", Kind.ITEM)
    assert not stands_alone("retries of calls that failed", Kind.PARAGRAPH)
