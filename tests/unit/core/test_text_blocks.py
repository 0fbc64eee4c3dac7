import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.core.text.blocks import Kind, block_at, blocks
from troupe.core.text.rows import cells, labelled

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
        (Kind.PARAGRAPH, "A paragraph over\ntwo lines."),
        (Kind.ITEM, "an item"),
        (Kind.ITEM, "another"),
        (Kind.HEADING, "name | value"),
        (Kind.ROW, "size | 5"),
        (Kind.CODE, "```"),
        (Kind.CODE, "code"),
        (Kind.CODE, "```"),
        (Kind.PARAGRAPH, "a quote"),
    ]


def test_a_row_knows_its_columns() -> None:
    block = block_at(DOCUMENT, DOCUMENT.index("size"))
    assert block is not None
    assert (block.kind, block.columns) == (Kind.ROW, "name | value")


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("| plan | price |\n|---|---|\n| pro | 20 euros |", "plan | price"),
        ("plan | price\n--- | ---\npro | 20 euros", "plan | price"),
        ("plan | price\npro | 20 euros", "plan | price"),
        ("+------+-------+\n| plan | price |\n+======+=======+\n| pro | 20 euros |", "plan | price"),
        ("basic | 5 euros\npro | 20 euros", ""),
        ("plan | \npro | 20 euros", ""),
        ("| plan | price |\n|---|---|\n\npro | 20 euros", ""),
    ],
)
def test_tables_are_read_with_and_without_bars_and_rules(table: str, columns: str) -> None:
    block = block_at(table, table.index("pro"))
    assert block is not None
    assert (block.kind, block.columns) == (Kind.ROW, columns)
    assert cells(table[block.start : block.end])[0] == "pro"


def test_pairs_know_what_they_belong_to() -> None:
    text = (
        "retries: 5\nqueue:\n  size: 100\n\n[lease]\nseconds = 30\nPrice......20 euros\nRAM\t16 GB\n\nNote:\nIt works."
    )
    assert [(b.kind, text[b.start : b.end].strip(), b.columns) for b in blocks(text)] == [
        (Kind.ITEM, "retries: 5", ""),
        (Kind.ITEM, "size: 100", "queue"),
        (Kind.ITEM, "seconds = 30", "lease"),
        (Kind.ITEM, "Price......20 euros", "lease"),
        (Kind.ITEM, "RAM\t16 GB", "lease"),
        (Kind.PARAGRAPH, "Note:\nIt works.", ""),
    ]


def test_lines_that_name_values_are_a_list() -> None:
    text = "Host: localhost\nPort: 8080\n\nA sentence: it goes\non here."
    assert [(b.kind, text[b.start : b.end]) for b in blocks(text)] == [
        (Kind.ITEM, "Host: localhost"),
        (Kind.ITEM, "Port: 8080"),
        (Kind.PARAGRAPH, "A sentence: it goes\non here."),
    ]


@pytest.mark.parametrize(
    ("row", "columns", "said"),
    [
        ("pro | 20 euros", "plan | price", "plan: pro; price: 20 euros"),
        ("basic |  | 500", "plan | Europe | Asia", "plan: basic; Asia: 500"),
        ("a \\| b | c", "", "a \\| b; c"),
        ("| 900", "plan | Europe", "Europe: 900"),
    ],
)
def test_what_a_row_says(row: str, columns: str, said: str) -> None:
    assert labelled(row, columns) == said


@given(st.text())
def test_blocks_are_in_order_whatever_the_text(text: str) -> None:
    found = blocks(text)
    assert all(0 <= block.start <= block.end <= len(text) for block in found)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
