import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from troupe.core.text.blocks import Kind
from troupe.inference.models.extractive.sentences import MAX_CHARACTERS, sentences


def split(text: str) -> list[str]:
    return [text[s.start : s.end] for s in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is here. Two is there! Is three? Yes.", ["One is here.", "Two is there!", "Is three?", "Yes."]),
        (
            "It needs e.g. Redis, i.e. a store. Dr. J. Smith agrees, cf. Fig. 3.",
            ["It needs e.g. Redis, i.e. a store.", "Dr. J. Smith agrees, cf. Fig. 3."],
        ),
        ("Version 3.11 costs $1.50 today. Fine.", ["Version 3.11 costs $1.50 today.", "Fine."]),
        ('He said "stop." Then he left (quickly.) Gone.', ['He said "stop."', "Then he left (quickly.)", "Gone."]),
        ("the flow is steady .  the drag is low .", ["the flow is steady .", "the drag is low ."]),
        ("wrapped over\ntwo lines. Next.", ["wrapped over\ntwo lines.", "Next."]),
        ("这是第一句。这是第二句！", ["这是第一句。", "这是第二句！"]),
        ("هل هذا سؤال؟ نعم هو كذلك.", ["هل هذا سؤال؟", "نعم هو كذلك."]),
        (
            "It runs on Node.js and asyncio. `redis` stores it.",
            ["It runs on Node.js and asyncio.", "`redis` stores it."],
        ),
        ("**Keep to a budget.** It is held. More.", ["**Keep to a budget.** It is held.", "More."]),
        ("**Redis is required.**", ["**Redis is required.**"]),
        ("Wait... what? Never.", ["Wait... what?", "Never."]),
        ("", []),
        ("\n \n", []),
    ],
)
def test_prose(text: str, expected: list[str]) -> None:
    assert split(text) == expected


MARKDOWN = """\
# Leases

A lease is a claim.
It ends by itself.

- First item. With two sentences.
- Second item
  goes on.
1. Numbered item.

| name | meaning |
|------|---------|
| `ttl` | seconds to live |

```python
x = 1. + 2.
```
> Quoted text stands alone.

Underlined
----------
Last."""


def test_markdown() -> None:
    assert split(MARKDOWN) == [
        "A lease is a claim.",
        "It ends by itself.",
        "First item.",
        "With two sentences.",
        "Second item\n  goes on.",
        "Numbered item.",
        "`ttl` | seconds to live",
        "Quoted text stands alone.",
        "Last.",
    ]
    assert [s.kind for s in sentences(MARKDOWN)][-3] is Kind.ROW


def test_an_open_fence_hides_the_rest() -> None:
    assert split("Before it.\n```\ncode. More code.") == ["Before it."]


def test_text_without_ends_is_cut_at_lines() -> None:
    text = "\n".join(["word " * 20] * 20)
    assert len(split(text)) == 20


@given(st.text(max_size=2000))
@example("a. " * 400)
@example("|" * 50 + "\n---")
@example("- \n- ")
def test_sentences_are_parts_in_order_and_not_too_long(text: str) -> None:
    last = 0
    for sentence in sentences(text):
        assert last <= sentence.start < sentence.end <= len(text)
        assert sentence.end - sentence.start <= MAX_CHARACTERS
        part = text[sentence.start : sentence.end]
        assert part == part.strip()
        last = sentence.end
