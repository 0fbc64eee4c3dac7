import re
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.agents import FakeMemory, FakeModels, Ran, execute, passage, runtime, step
from tests.unit.agents.test_tools import tool_call
from troupe.agents.builtin.analyzer.agent import Analyzer
from troupe.agents.builtin.analyzer.handover import Handover, attach, read
from troupe.agents.builtin.evidence.citing import HEADING_SEPARATOR
from troupe.agents.builtin.evidence.pooling import pool
from troupe.agents.builtin.retriever.agent import Retriever
from troupe.agents.builtin.retriever.aspects import MAX_ASPECTS, aspects
from troupe.agents.builtin.writer.agent import Writer
from troupe.agents.runtime.runtime import Runtime
from troupe.api.common.v1.content_pb2 import Passage, StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError

HUMBER = passage(
    "The Humber bridge was opened in 1981.\n\nIts main span measures 1,410 metres. Tolls were raised in 2011.",
    name="humber",
    start=40,
    heading=f"Humber{HEADING_SEPARATOR}History",
)
FORTH = passage("The Forth bridge was opened in 1890 and carries two railway tracks.", name="forth", start=7)
QUESTION = "When was the Humber bridge opened?"
NOTHING = "The sources do not answer this question."


def team(answer: str | Sequence[str], *, extractive: bool = True, memory: FakeMemory | None = None) -> Runtime:
    models = FakeModels(turns=[answer] if isinstance(answer, str) else answer, extractive=extractive)
    return runtime(Retriever(), Analyzer(), Writer(), models=models, memory=memory or FakeMemory([HUMBER, FORTH]))


async def analysis(answer: str, *passages: Passage, question: str = QUESTION) -> StepOutput:
    given = StepOutput(passages=passages)
    return (await execute(team(answer), step("analyzer", question, ("Find", given)))).output


async def report(*analyses: tuple[str, StepOutput], task: str = QUESTION) -> Ran:
    ran = await execute(team(NOTHING), step("writer", task, *analyses))
    check(ran)
    return ran


def check(ran: Ran, passages: Sequence[Passage] = (HUMBER, FORTH)) -> None:
    """What holds of every report."""
    text, citations = ran.output.text, ran.output.citations
    assert ran.streamed == text
    assert [citation.number for citation in citations] == list(range(1, len(citations) + 1))
    body, _, sources = text.partition("## Sources")
    used = [int(number) for number in re.findall(r"\[(\d+)\]", body)]
    assert list(dict.fromkeys(used)) == [citation.number for citation in citations]
    assert re.findall(r"^\[(\d+)\]", sources, re.MULTILINE) == [str(c.number) for c in citations]
    for citation in citations:
        source = next(p for p in passages if p.passage_id == citation.passage_id)
        start = citation.start_offset - source.start_offset
        assert source.text[start : citation.end_offset - source.start_offset] == citation.quote
        assert f"characters {citation.start_offset}–{citation.end_offset}" in sources


async def test_the_retriever_searches_for_each_aspect_and_pools() -> None:
    memory = FakeMemory(found={"Who built the Forth bridge?": [FORTH], QUESTION: [HUMBER, FORTH]}, passages=[HUMBER])
    ran = await execute(
        team("", memory=memory),
        step("retriever", f"{QUESTION} Who built the Forth bridge?", memory_filter={"language": "en"}),
    )
    assert memory.queries == [f"{QUESTION} Who built the Forth bridge?", QUESTION, "Who built the Forth bridge?"]
    assert memory.filters[0] == {"language": "en"}
    assert [p.passage_id for p in ran.output.passages] == ["humber-40", "forth-7"]
    assert ran.output.text == f"Found 2 passages in 2 documents:\n\n- Humber: {HUMBER.heading}\n- Forth"
    assert ran.kinds.count("tool_finished") == 3


async def test_the_retriever_says_that_there_is_nothing() -> None:
    nothing = FakeMemory()
    ran = await execute(team("", memory=nothing), step("retriever", QUESTION))
    assert ran.output.text == "The memory of project `default` holds no documents."
    ran = await execute(team("", memory=nothing), step("retriever", QUESTION, memory_filter={"a": "b"}))
    assert "has the metadata that the task asks for" in ran.output.text


async def test_a_memory_that_is_gone_fails_the_retriever_with_its_reason() -> None:
    gone = TroupeError(ErrorReason.ERROR_REASON_MEMORY_UNAVAILABLE, "Milvus is gone")
    with pytest.raises(TroupeError, match="Milvus is gone") as failed:
        await execute(team("", memory=FakeMemory(error=gone)), step("retriever", QUESTION))
    assert failed.value.retryable


async def test_a_model_that_calls_tools_may_search_further() -> None:
    models = FakeModels(turns=[[tool_call(1, "forth")], "done"], extractive=False)
    memory = FakeMemory([HUMBER], found={"forth": [FORTH]})
    ran = await execute(runtime(Retriever(), models=models, memory=memory), step("retriever", QUESTION))
    assert [p.passage_id for p in ran.output.passages] == ["humber-40", "forth-7"]


async def test_findings_point_at_the_exact_place() -> None:
    output = await analysis(
        "The Humber bridge was opened in 1981. [1] Its main span measures 1,410 metres. [1]", HUMBER
    )
    quotes = [(f.evidence[0].start_offset, f.evidence[0].quote) for f in output.findings]
    assert quotes == [(40, "The Humber bridge was opened in 1981."), (79, "Its main span measures 1,410 metres.")]
    assert output.findings[0].topic == QUESTION
    assert output.text.startswith("- The Humber bridge was opened in 1981. [1]\n- ")
    assert read(output) == Handover(QUESTION)


async def test_what_cannot_be_traced_is_dropped() -> None:
    output = await analysis("Penguins swallow small stones every winter. [1] It is blue. [7] No number here.", HUMBER)
    assert not output.findings
    assert output.text == "The passages do not answer this."
    assert [p.passage_id for p in output.passages] == ["humber-40"]


async def test_without_passages_the_analyzer_says_why() -> None:
    empty = StepOutput(text="The memory of project `default` holds no documents.")
    output = (await execute(team(""), step("analyzer", QUESTION, ("Find", empty)))).output
    assert output.text == empty.text
    assert (await report(("Analyze: x", output))).output.text.splitlines()[
        2
    ] == f"This cannot be answered. {empty.text}"


async def test_a_report_on_one_question() -> None:
    found = await analysis("The Humber bridge was opened in 1981. [1] Tolls were raised in 2011. [1]", HUMBER)
    assert (await report(("Analyze: x", found))).output.text == (
        "# When was the Humber bridge opened?\n\n"
        "The Humber bridge was opened in 1981. [1]\n\n"
        "## Findings\n\n- Tolls were raised in 2011. [2]\n\n"
        "## Sources\n\n"
        "[1] Humber (humber.md) — History, characters 40–77: “The Humber bridge was opened in 1981.”\n\n"
        "[2] Humber (humber.md) — History, characters 116–142: “Tolls were raised in 2011.”\n"
    ).replace("116–142", f"{40 + HUMBER.text.index('Tolls')}–{40 + len(HUMBER.text)}")


async def test_a_report_on_two_questions_says_which_is_not_answered() -> None:
    found = await analysis("The Humber bridge was opened in 1981. [1]", HUMBER)
    missing = await analysis(NOTHING, FORTH, question="Who painted the Forth bridge?")
    text = (await report(("Analyze: The Humber", found), ("Analyze: Who painted it?", missing))).output.text
    assert "1981. [1] The documents do not answer this part: “Who painted it?”." in text
    assert "### The Humber\n\n- The Humber bridge was opened in 1981. [1]" in text
    assert "### Who painted it?\n\nThe documents do not answer this. What was found closest does not answer it:" in text


async def test_a_report_without_an_answer_says_so_first() -> None:
    missing = await analysis(NOTHING, HUMBER)
    ran = await report(("Analyze: x", missing))
    assert ran.output.text.splitlines()[2] == "The documents do not answer this question."
    assert "This was found closest; it does not answer the question." in ran.output.text


async def test_a_comparison_has_a_section_for_each_side_and_one_for_both() -> None:
    both = passage("The Humber bridge is longer than the Forth bridge. Both bridges cross an estuary.", name="both")
    humber = await analysis("The Humber bridge was opened in 1981. [1]", HUMBER, question="What about Humber?")
    forth = await analysis(FORTH.text + " [1]", FORTH, question="What about Forth?")
    shared = await analysis("The Humber bridge is longer than the Forth bridge. [1]", both, question="How compare?")
    analyses = [("Analyze: Humber", humber), ("Analyze: Forth", forth), ("Analyze: Humber and Forth", shared)]
    ran = await execute(team(NOTHING), step("writer", "Compare Humber and Forth", *analyses))
    check(ran, (HUMBER, FORTH, both))
    assert ran.output.text.splitlines()[2].startswith("The Humber bridge is longer than the Forth bridge. [1]")
    assert re.findall("### (.*)", ran.output.text) == ["Humber", "Forth", "Humber and Forth"]


async def test_the_writer_analyzes_passages_that_nobody_did() -> None:
    answer = "The Humber bridge was opened in 1981. [1]"
    ran = await execute(team(answer), step("writer", QUESTION, ("Find", StepOutput(passages=[HUMBER]))))
    check(ran)
    assert "The Humber bridge was opened in 1981. [1]" in ran.output.text


async def test_a_model_that_writes_composes_the_answer_of_findings() -> None:
    found = await analysis("The Humber bridge was opened in 1981. [1] Tolls were raised in 2011. [1]", HUMBER)
    answer = "It opened in 1981 [1], and tolls rose [2]. Invented nonsense [9]. Uncited words."
    ran = await execute(team(answer, extractive=False), step("writer", QUESTION, ("Analyze: x", found)))
    check(ran)
    assert ran.output.text.splitlines()[2] == "It opened in 1981 [1] and tolls rose. [2]"


SENTENCES: Mapping[str, Passage] = {
    text: owner for owner in (HUMBER, FORTH) for text in re.split(r"(?<=\.)\s+", owner.text)
}


@given(st.lists(st.lists(st.sampled_from(sorted(SENTENCES)), max_size=4), min_size=1, max_size=4))
async def test_every_report_is_numbered_and_streamed(topics: list[list[str]]) -> None:
    analyses = []
    for number, told in enumerate(topics):
        answer = " ".join(f"{s} [{1 if SENTENCES[s] is HUMBER else 2}]" for s in told) or NOTHING
        analyses.append((f"Analyze: topic {number}", await analysis(answer, HUMBER, FORTH)))
    await report(*analyses)


@pytest.mark.parametrize(
    ("instruction", "parts"),
    [
        ("What is it?", []),
        ("How is it built and why does it sway?", ["How is it built", "why does it sway?"]),
        ("Tell me:\n- the length of it\n- the height of it", ["the length of it", "the height of it"]),
        ("Who built it? When was it opened?", ["Who built it?", "When was it opened?"]),
    ],
)
def test_aspects(instruction: str, parts: list[str]) -> None:
    assert aspects(instruction) == [" ".join(instruction.split()), *parts]


@given(st.text())
def test_aspects_are_few(text: str) -> None:
    assert 1 <= len(aspects(text)) <= MAX_ASPECTS + 1


def test_pooling_takes_turns_and_drops_copies() -> None:
    copy = passage(HUMBER.text.upper(), name="copy")
    assert [p.passage_id for p in pool([[HUMBER, copy], [FORTH, HUMBER]], limit=5)] == ["humber-40", "forth-7"]


def test_a_payload_that_cannot_be_read_is_no_handover() -> None:
    output = StepOutput()
    attach(output, Handover("q", "n"))
    assert read(output) == Handover("q", "n")
    for data in (b"[1]", b"[" * 100_000):
        output.data = data
        assert read(output) == Handover()
