"""Answers below questions, definitions below terms, and tables of one row."""

import pytest

from troupe.core.text.blocks import Kind, blocks


def said(text: str) -> list[tuple[str, str]]:
    """What is said, and of what."""
    return [(text[b.start : b.end], b.columns) for b in blocks(text) if b.columns and b.kind is Kind.ITEM]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Q: Which port?\nA: 8080.", [("8080.", "Which port?")]),
        ("Q: Who maintains it?\n\nA: The platform team.", [("The platform team.", "Who maintains it?")]),
        ("**Question 2:** Is it free?\n**Answer:** Yes.", [("Yes.", "Is it free?")]),
        ("## Which database is used?\n\nPostgreSQL", [("PostgreSQL", "Which database is used?")]),
        ("Is there a discount?\nYes, for schools.\nAsk us.", [("Yes, for schools.\nAsk us.", "Is there a discount?")]),
        ("Wie lange gilt es?\n\nZwei Jahre.\n\nMehr.", [("Zwei Jahre.", "Wie lange gilt es?")]),
        ("ポートは何番ですか？\n8080です。", [("8080です。", "ポートは何番ですか？")]),
        ("Port\n: 8080\n\nHost\n: alpha", [("8080", "Port"), ("alpha", "Host")]),
        ("**Lease**\n:   thirty seconds", [("thirty seconds", "Lease")]),
    ],
)
def test_an_answer_says_what_it_answers(text: str, found: list[tuple[str, str]]) -> None:
    assert said(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "We asked why it failed. Was it the lease?\nIt was.",
        "Which one is it?\n\nWhich other one?",
        "Why?\n\n- first\n- second",
        "It is late: 8080.\nA: no question stands above.",
        "A question?\n\n## Another part\n\nText that answers nothing.",
    ],
)
def test_what_answers_no_question_is_as_it_was(text: str) -> None:
    assert said(text) == []


def test_the_only_row_of_a_table_is_no_heading() -> None:
    assert [b.kind for b in blocks("| lease | 30 s |\n|---|---|")] == [Kind.ROW]
    assert [b.kind for b in blocks("| name | value |\n|---|---|\n| lease | 30 s |")] == [Kind.HEADING, Kind.ROW]
