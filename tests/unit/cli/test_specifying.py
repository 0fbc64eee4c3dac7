"""What a task is to be, out of options and files."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from troupe.api.orchestrator.v1.task_pb2 import Budget, Planner, Priority
from troupe.cli.person import person
from troupe.cli.specifying import parse_budget, parse_labels, parse_moment, parse_priority, read_plan
from troupe.cli.streams import InputError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            '{"steps": [{"step_id": "a", "agnet": "b"}]}',
            "`steps[0].agnet` is no field of `Step`; did you mean `agent`?",
        ),
        ('{"steps": [], "planner": "RULES"}', "did you mean `PLANNER_RULES`?"),
        ('{"steps": {}}', "`steps` is {}; send a list"),
        ('{"steps": [', "is wrong: this is no JSON"),
        ("[1]", "an object in braces is expected"),
        ('{"steps": [{"timeout": "soon"}]}', "`steps[0].timeout`"),
        ('{"steps": [], "steps": []}', "stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ("caf\udce9", "is not UTF-8"),
        ("", "there is no text"),
        (" " * (5 << 20), "is longer than"),
    ],
)
def test_a_wrong_plan_is_refused_by_field(content: str, problem: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError) as refused:
        read_plan(plan)
    assert problem in str(refused.value)
    assert str(plan) in str(refused.value)


@pytest.mark.parametrize(("path", "problem"), [("/no/such", "No such file or directory"), ("/", "Is a directory")])
def test_a_plan_that_cannot_be_read(path: str, problem: str) -> None:
    with pytest.raises(InputError, match=f"the plan '{path}' cannot be read: {problem}"):
        read_plan(Path(path))


def test_a_plan_of_another_system(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(
        b'\xef\xbb\xbf{"planner": "PLANNER_RULES",\r\n "steps": [{"dependsOn": ["a"], "depends_on": ["a"]}]}'
    )
    with pytest.raises(InputError, match="the same field"):
        read_plan(plan)
    plan.write_bytes(b'\xef\xbb\xbf{"planner": "PLANNER_RULES",\r\n "steps": [{"dependsOn": ["a"]}]}')
    assert read_plan(plan).planner == Planner.PLANNER_RULES


@pytest.mark.parametrize(
    ("options", "budget"),
    [
        (["20000tokens"], Budget(max_tokens=20_000)),
        (["20_000t"], Budget(max_tokens=20_000)),
        (["1 token"], Budget(max_tokens=1)),
        (["0.50usd"], Budget(max_cost_usd_micros=500_000)),
        (["$3"], Budget(max_cost_usd_micros=3_000_000)),
        (["0.000001USD"], Budget(max_cost_usd_micros=1)),
        (["5t,0.1usd"], Budget(max_tokens=5, max_cost_usd_micros=100_000)),
        (["5t", "$0.1 usd"], Budget(max_tokens=5, max_cost_usd_micros=100_000)),
    ],
)
def test_budgets(options: list[str], budget: Budget) -> None:
    assert parse_budget(options) == budget


@pytest.mark.parametrize(
    "options",
    [
        *(["5000"], ["nan usd"], ["-5t"], ["0t"], ["0usd"], ["0.5t"], ["$5t"], ["0.0000001usd"], ["5eur"], [""]),
        *(["1t,2t"], ["1usd", "$1"], ["9999999999999t"], ["1e3t"], ["\u0665t"]),
    ],
)
def test_what_is_no_budget(options: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        parse_budget(options)


def test_labels_and_priorities() -> None:
    assert parse_labels(["team=a=b", "empty=", "team=a=b"]) == {"team": "a=b", "empty": ""}
    assert parse_priority("high") == Priority.PRIORITY_HIGH
    wrong: list[Callable[[], object]] = [
        lambda: parse_labels(["team"]),
        lambda: parse_labels(["=x"]),
        lambda: parse_labels(["a=1", "a=2"]),
        lambda: parse_priority("hihg"),
        lambda: parse_priority(""),
    ]
    for parse in wrong:
        with pytest.raises(typer.BadParameter):
            parse()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("1.5d", NOW - timedelta(days=1.5)),
        ("90", NOW - timedelta(seconds=90)),
        ("2026-01-30T12:00:00Z", NOW - timedelta(days=1)),
        ("2026-01-31T12:00+02:00", NOW - timedelta(hours=2)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert parse_moment(text, option="--since", now=NOW) == moment


@pytest.mark.parametrize(
    "text", ["yesterday", "6h30m", "-2h", "", "2026-13-01", "99999999999d", "infd", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is neither a time ago"):
        parse_moment(text, option="--since", now=NOW)


def test_a_person_is_named_in_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "caf\udce9" + "x" * 300)
    assert person().startswith("caf?x")
    assert len(person()) == 256
