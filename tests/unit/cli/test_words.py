from datetime import timedelta

import pytest
import typer

from troupe.cli import words
from troupe.cli.options import parse_duration
from troupe.cli.screen import describe, parse_log_line


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 ms"), (0.042, "42 ms"), (3.21, "3.2 s"), (59.94, "59.9 s"), (245, "4 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations_in_words(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


def test_plural() -> None:
    assert words.plural(1, "step") == "1 step"
    assert words.plural(1200, "step") == "1,200 steps"


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86_400)])
def test_durations_are_read(text: str, expected: float) -> None:
    assert parse_duration(text) == timedelta(seconds=expected)


@pytest.mark.parametrize("text", ["", "s", "0", "-1s", "soon", "nan", "inf", "1e999d"])
def test_no_durations(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration(text)


def test_log_lines_as_a_person_reads_them() -> None:
    line = '{"dependency": "redis", "level": "warning", "time": "t", "service": "worker", "message": "waiting"}'
    assert describe(parse_log_line(line)) == "warning: waiting dependency=redis"


@pytest.mark.parametrize("text", ["", "I1121 loading", "{", "{}", "[1]"])
def test_other_lines_are_left_alone(text: str) -> None:
    assert parse_log_line(text) == {}
