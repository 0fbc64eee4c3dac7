import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.agents.builtin.evidence.readable import plain, readable, readable_row
from troupe.agents.builtin.evidence.worth import says_something


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
    ],
)
def test_what_is_shown_of_a_quote(quote: str, shown: str) -> None:
    assert readable(quote) == shown


@pytest.mark.parametrize(
    ("row", "columns", "shown"),
    [
        ("`worker` | steps | leases", "process | owns | state", "`worker`: owns: steps; state: leases."),
        ("**Redis** | a server", "", "Redis: a server."),
        ("pro | 20 euros", "plan | price", "Pro: 20 euros."),
        ("basic |  | 500 requests", "Plan | Europe | Asia", "Basic: Asia: 500 requests."),
        ("| 900 | 700 |", "Plan | Europe | Asia | Africa", "Europe: 900; Asia: 700."),
        ("5 | 6 | 7", "a | b", "5: 6; 7."),
        ("8080 | 30 seconds", "Port | Lease", "Port: 8080; Lease: 30 seconds."),
        ("8080 | 30 seconds", "", "8080: 30 seconds."),
    ],
)
def test_a_row_is_shown_with_the_names_of_its_columns(row: str, columns: str, shown: str) -> None:
    assert readable_row(row, columns) == shown


@given(st.text())
def test_shown_text_is_one_line_without_citations(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert shown == shown.strip()


@pytest.mark.parametrize(
    "text",
    [
        "See below.",
        "…",
        "Click here.",
        "What is it that you want?",
        ">>> import this and that",
        "The documentation is here.",
        "for (i = 0; i < n; i++) { x[i] = y[i]; }",
    ],
)
def test_what_says_nothing(text: str) -> None:
    assert not says_something(text)


@pytest.mark.parametrize(
    "text",
    [
        "The bridge opened in 1981.",
        "橋は1981年に開通しました。",
        "Use `a[0] == {}` to see it.",
        "The port is 8080.",
        "It costs 5 euros.",
        "Redis is required.",
        "8080.",
        "retries = 5.",
        "Run `make demo`.",
        "दाम ५ रुपये।",
        "Preis: 5 €.",
    ],
)
def test_what_says_something(text: str) -> None:
    assert says_something(text)
