import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.builtin.text.blocks import Kind, block_at, blocks
from agents.builtin.text.readable import columns_above, plain, readable
from agents.builtin.text.worth import says_something

DOCUMENT = """# Title

A paragraph over
two lines.

- an item
- another

| name | value |
|---|---|
| size | 5 |

```
code
```
> a quote
"""


def test_blocks() -> None:
    found = [(block.kind, DOCUMENT[block.start : block.end]) for block in blocks(DOCUMENT)]
    assert found == [
        (Kind.HEADING, "# Title"),
        (Kind.PROSE, "A paragraph over\ntwo lines."),
        (Kind.ITEM, "an item"),
        (Kind.ITEM, "another"),
        (Kind.HEADING, "| name | value |"),
        (Kind.ROW, "| size | 5 |"),
        (Kind.CODE, "```"),
        (Kind.CODE, "code"),
        (Kind.CODE, "```"),
        (Kind.PROSE, "a quote"),
    ]


def test_a_row_knows_its_columns() -> None:
    row = DOCUMENT.index("| size")
    block = block_at(DOCUMENT, row)
    assert block is not None
    assert block.kind is Kind.ROW
    assert columns_above(DOCUMENT, row) == "| name | value |"


@given(st.text())
def test_blocks_are_in_order_whatever_the_text(text: str) -> None:
    found = blocks(text)
    assert all(0 <= block.start <= block.end <= len(text) for block in found)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("quote", "shown"),
    [
        ("**Bold** and *italic* and __both__.", "Bold and italic and both."),
        ("uses `**kwargs` and [a link](https://x.org/a_b)", "Uses `**kwargs` and a link."),
        ("snake_case_name stays", "snake_case_name stays."),
        ("as shown by Smith [12] and others [3, 4].", "As shown by Smith and others."),
        ("first line\n> second line", "First line second line."),
        ("![logo](x.png) It works<br/> &amp; well.", "It works & well."),
        ("see :class:`Thing` and ``code``", "See `Thing` and `code`."),
        ("two words ;", "Two words."),
        ("2. Install it.", "Install it."),
        ("conditions added under section\n 7. More follows.", "Conditions added under section 7. More follows."),
        ("`show w' and `show c' print it", "`show w' and `show c' print it."),
        ("橋は1981年に開通した。", "橋は1981年に開通した。"),
        ("| **Redis** | a server |", "Redis: a server."),
    ],
)
def test_what_is_shown_of_a_quote(quote: str, shown: str) -> None:
    assert readable(quote) == shown


def test_a_row_is_shown_with_the_names_of_its_columns() -> None:
    shown = readable("| `worker` | steps | leases |", columns="| process | owns | state |")
    assert shown == "`worker`: owns: steps; state: leases."


@given(st.text())
def test_shown_text_is_one_line_without_citations(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert shown == shown.strip()


@pytest.mark.parametrize(
    "text",
    [
        "See below.",
        "Too short.",
        "What is it that you want?",
        ">>> import this and that",
        "The documentation is here.",
        "for (i = 0; i < n; i++) { x[i] = y[i]; }",
    ],
)
def test_what_says_nothing(text: str) -> None:
    assert not says_something(text)


@pytest.mark.parametrize(
    "text", ["The bridge opened in 1981.", "橋は1981年に開通しました。", "Use `a[0] == {}` to see it."]
)
def test_what_says_something(text: str) -> None:
    assert says_something(text)
