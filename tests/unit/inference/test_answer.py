from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.inference.encoders import WordEncoder
from troupe.inference.models.extractive.answer import NO_ANSWER, Piece, TextEncoder, answer
from troupe.inference.models.extractive.prompt import parse_prompt
from troupe.inference.models.minilm.cache import CachedEncoder
from troupe.inference.models.minilm.encoder import Encoder


def prompt(question: str, *sources: str) -> str:
    block = "\n\n".join(f"[{n}] Title {n}\n{text}" for n, text in enumerate(sources, 1))
    return f"Quote the sources.\nQuestion: {question}\n\nSources:\n{block}"


def pieces(text: str, *, max_tokens: int = 256, stop: Sequence[str] = ()) -> list[Piece]:
    return list(answer(text, max_tokens=max_tokens, stop=stop, encoder=WordEncoder(), cancelled=lambda: False))


LEASES = "A lease expires when its worker dies. Bread needs flour and water."
OTHER = "An expired lease gives the step of the dead worker to another worker. Cats sleep in the afternoon sun."


def test_the_best_sentence_comes_first_with_its_source() -> None:
    told = pieces(prompt("Which lease expires when a worker dies?", OTHER, LEASES))
    assert told[0].text == "A lease expires when its worker dies. [2]"
    assert [piece.finish_reason for piece in told[:-1]] == [None] * (len(told) - 1)
    assert told[-1].finish_reason == "stop"
    assert "Bread" not in "".join(piece.text for piece in told)


def test_a_sentence_in_two_sources_cites_both_once() -> None:
    told = pieces(prompt("When does a lease expire?", LEASES, LEASES))
    assert [piece.text for piece in told] == ["A lease expires when its worker dies. [1][2]"]


@pytest.mark.parametrize(
    "text", ["Write a poem.", prompt("What colour is the moon?", LEASES), prompt("", LEASES), prompt("Which lease?")]
)
def test_without_evidence_there_is_no_answer(text: str) -> None:
    assert pieces(text) == [Piece(NO_ANSWER, 7, "stop")]


def test_tokens_bound_the_answer() -> None:
    question = prompt("Which lease expires when a worker dies?", LEASES, OTHER)
    (only,) = pieces(question, max_tokens=4)
    assert only == Piece("A lease expires when", 4, "length")


def test_a_stop_text_ends_the_answer_before_it() -> None:
    question = prompt("Which lease expires when a worker dies?", LEASES, OTHER)
    (only,) = pieces(question, stop=["worker"])
    assert only == Piece("A lease expires when its ", 5, "stop")


def test_a_cancelled_answer_encodes_nothing() -> None:
    encoder = WordEncoder()
    question = prompt("Which lease expires when a worker dies?", LEASES)
    assert not list(answer(question, max_tokens=256, stop=(), encoder=encoder, cancelled=lambda: True))
    assert encoder.encoded == 0


@given(st.text(max_size=60), st.lists(st.text(max_size=300), max_size=4), st.integers(1, 300))
def test_every_statement_can_be_found_in_its_source(question: str, texts: list[str], max_tokens: int) -> None:
    text = prompt(question, *texts)
    sources = {source.number: source.text for source in parse_prompt(text).sources}
    told = pieces(text, max_tokens=max_tokens)
    assert told[-1].finish_reason in ("stop", "length")
    assert sum(piece.tokens for piece in told) <= max(max_tokens, 7)
    for piece in told:
        if piece.finish_reason == "length" or piece.text == NO_ANSWER:
            continue
        statement, _, cited = piece.text.rpartition(" ")
        first = int(cited[1 : cited.index("]")])
        assert statement.removeprefix(" ") in sources[first] or statement[1:] in sources[first]


HANDBOOK = [
    "The gateway forwards message bytes without decoding them. It translates headers and trailers between gRPC-Web and"
    " gRPC.",
    "Each running step is held by a lease. The worker renews the lease every 500 milliseconds. When a worker dies, its"
    " lease expires and another worker takes the step over.",
    "Failed steps are retried with exponential backoff and full jitter. Only errors that are marked as retryable are"
    " retried, at most five times.",
    "Documents are split by their headings into passages of about 800 characters. Every passage keeps the offsets of"
    " its text, so that a citation can be opened.",
    "Events of a task are kept for seven days. A cursor that is older than the oldest event is answered with"
    " OUT_OF_RANGE.",
    "Install the package with pip and run `troupe up`: it starts every server on this machine.",
]


@pytest.fixture(scope="module")
def minilm(model_repository: Path) -> TextEncoder:
    return CachedEncoder(Encoder(model_repository / "generator" / "1", threads=1))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What does the gateway do with messages?", "forwards message bytes"),
        ("What happens if a worker crashes?", "When a worker dies"),
        ("How often is a lease renewed?", "every 500 milliseconds"),
        ("How are failures retried?", "exponential backoff"),
        ("How large are the passages of a document?", "about 800 characters"),
        ("How long are events kept?", "seven days"),
        ("Which error does an outdated cursor get?", "OUT_OF_RANGE"),
        ("How do I start all servers?", "troupe up"),
        ("How can a citation be checked?", "keeps the offsets"),
    ],
)
def test_questions_that_the_sources_answer(minilm: TextEncoder, question: str, expected: str) -> None:
    # So few tokens leave room for two statements.
    told = answer(prompt(question, *HANDBOOK), max_tokens=80, stop=(), encoder=minilm, cancelled=lambda: False)
    assert expected in "".join(piece.text for piece in told)


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "Who won the world cup in 1998?",
        "How do I bake sourdough bread?",
        "Who is the chief executive of the company?",
        "What does an enterprise licence cost?",
        "Does it run on Windows 95?",
        "Which colour is the logo?",
        "How do I configure LDAP authentication?",
    ],
)
def test_questions_that_the_sources_do_not_answer(minilm: TextEncoder, question: str) -> None:
    told = answer(prompt(question, *HANDBOOK), max_tokens=256, stop=(), encoder=minilm, cancelled=lambda: False)
    assert [piece.text for piece in told] == [NO_ANSWER]
