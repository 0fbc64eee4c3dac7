import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.support.agents import passage
from troupe.agents.builtin.analyzer.support import read_answer, supported
from troupe.agents.builtin.evidence.answers import statements
from troupe.agents.builtin.evidence.citing import cite, locate
from troupe.agents.builtin.evidence.prompts import Source, analysis_messages
from troupe.agents.builtin.evidence.sentences import sentences

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="[]"), max_size=300)
WORDS = st.lists(
    st.sampled_from(
        [
            "Bridges",
            "carry",
            "trains.",
            "They",
            "sway!",
            "In",
            "wind",
            "(often)",
            "it's",
            "5.5",
            "°C…",
            "橋です。",
            "–",
            "x\r\n",
            "",
        ]
    )
)


@given(TEXT, st.integers(0, 10_000), st.data())
def test_a_place_is_found_again_and_its_offsets_point_at_the_quote(text: str, start: int, data: st.DataObject) -> None:
    one = passage(text, start=start)
    begin = data.draw(st.integers(0, len(text)))
    part = text[begin : data.draw(st.integers(begin, len(text)))]
    span = locate(" ".join(part.split()), one)
    if not part.split():
        assert span is None
        return
    assert span is not None
    citation = cite(one, span)
    document = "\0" * start + text
    assert document[citation.start_offset : citation.end_offset] == citation.quote
    assert citation.quote.split() == part.split()


@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=5))
def test_every_sentence_of_a_passage_can_be_cited(parts: list[str]) -> None:
    text = "\n".join(parts)
    spans = sentences(text)
    assert all(text[s.start : s.end].strip() == text[s.start : s.end] != "" for s in spans)
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))
    for span in spans:
        found = locate(text[span.start : span.end], passage(text))
        assert found is not None
        assert text[found.start : found.end] == text[span.start : span.end]


@given(st.lists(st.tuples(TEXT, st.integers(0, 99)), min_size=1, max_size=4), TEXT)
def test_no_citation_is_ever_invented(sources: list[tuple[str, int]], answer: str) -> None:
    passages = {n: passage(text, name=f"d{n}", start=at) for n, (text, at) in enumerate(sources, 1)}
    told = f"{answer} [1] {sources[0][0]} [1][9] nonsense [7]."
    for one in supported(read_answer(told, passages), passages, lambda _one, _other: 1.0):
        assert one.evidence
        for citation in one.evidence:
            source = passages[int(citation.document_id[1:])]
            begin = citation.start_offset - source.start_offset
            assert source.text[begin : citation.end_offset - source.start_offset] == citation.quote != ""


def test_a_quoted_sentence_may_hold_numbers_in_brackets_itself() -> None:
    one = passage("As was shown in [1] the span holds. The deck was renewed in 2011.")
    reading = read_answer("As was shown in [1] the span holds. [1] The deck was renewed in 2011. [1]", {1: one})
    assert [quote.raw for quote in reading.quotes] == [
        "As was shown in [1] the span holds.",
        "The deck was renewed in 2011.",
    ]


def test_numbers_are_read_before_and_after_the_full_stop_and_in_lists() -> None:
    answer = "One holds [1]. Two hold. [2, 3] Three hold [1], [4]; the rest is not cited."
    assert [(s.text, s.numbers) for s in statements(answer)] == [
        ("One holds.", (1,)),
        ("Two hold.", (2, 3)),
        ("Three hold", (1, 4)),
    ]


def test_a_statement_in_own_words_gets_the_sentence_that_supports_it_best() -> None:
    one = passage("The bridge was opened in 1890. It carries two railway tracks.", start=100)
    answer = "Trains use two tracks on it [1]. Ships pass below it [1]."

    def similar(one: str, other: str) -> float:
        return 0.9 if "tracks" in one and "tracks" in other else 0.1

    (found,) = supported(read_answer(answer, {1: one}), {1: one}, similar)
    assert found.text == "Trains use two tracks on it."
    assert found.evidence[0].quote == "It carries two railway tracks."
    assert found.evidence[0].start_offset == 131


def test_a_quote_that_points_back_takes_what_it_points_to_along() -> None:
    one = passage("The Humber bridge was opened in 1981. It has a span of 1,410 metres.")
    (found,) = read_answer("It has a span of 1,410 metres. [1]", {1: one}).quotes
    assert found.raw == one.text


def test_sources_of_a_prompt_hold_no_blank_lines() -> None:
    text = "First paragraph.\r\n\r\n[2] Not a source.\n \t\n\nSecond."
    (_, user) = analysis_messages("What\nis it?", [Source(1, "A\ntitle", text)])
    assert user.text.startswith("Question: What is it?\n\nSources:\n[1] A title\nFirst paragraph.\n***\n[2] Not a")
    assert "\n\n" not in user.text.partition("Sources:\n")[2]
