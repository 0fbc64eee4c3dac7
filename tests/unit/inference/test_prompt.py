from hypothesis import given
from hypothesis import strategies as st

from troupe.inference.models.extractive.prompt import Prompt, Source, parse_prompt

PROMPT = """\
Answer from the sources.
Question: What is a lease?

Sources:
[1] Architecture > Leases
A lease is a claim
that ends by itself.

[2] Untitled
[3] is not a header here.

[12]
No title.
"""


def test_question_and_sources_are_read() -> None:
    assert parse_prompt(PROMPT) == Prompt(
        "What is a lease?",
        (
            Source(1, "Architecture > Leases", "A lease is a claim\nthat ends by itself."),
            Source(2, "Untitled", "[3] is not a header here."),
            Source(12, "", "No title."),
        ),
    )


def test_a_question_inside_a_source_does_not_count() -> None:
    told = parse_prompt("Question: Which?\n\nSources:\n[1] A\nQuestion: Another?\nSources:\n[2] B\nText.")
    assert told.question == "Which?"
    assert [source.number for source in told.sources] == [1]


def test_what_follows_the_sources_is_no_source() -> None:
    told = parse_prompt("Question: Which?\nSources:\n[1] A\nText.\n\nNow answer.")
    assert told.sources == (Source(1, "A", "Text."),)


def test_without_the_parts_there_is_nothing() -> None:
    assert parse_prompt("Write a poem.") == Prompt("", ())
    assert parse_prompt("Question: Which?") == Prompt("Which?", ())


def test_line_ends_of_windows_are_read() -> None:
    assert parse_prompt(PROMPT.replace("\n", "\r\n")) == parse_prompt(PROMPT)


_LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1).filter(
    lambda line: line.strip() and line == line.strip() and len(line.splitlines()) == 1
)


@given(st.lists(st.tuples(_LINE, st.lists(_LINE, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_sources_survive_whatever_they_say(sources: list[tuple[str, list[str]]]) -> None:
    rendered = "\n\n".join(f"[{n}] {title}\n" + "\n".join(lines) for n, (title, lines) in enumerate(sources, 1))
    read = parse_prompt(f"Question: Which?\n\nSources:\n{rendered}\n").sources
    assert [(s.number, s.title, s.text) for s in read] == [
        (n, title, "\n".join(lines)) for n, (title, lines) in enumerate(sources, 1)
    ]
