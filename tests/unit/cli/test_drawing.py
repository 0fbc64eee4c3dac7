"""What is drawn fits."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tests.support.task_server import TASK_ID, history
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1 import event_pb2 as ev
from troupe.api.orchestrator.v1.task_pb2 import Plan
from troupe.cli.live import LiveProgress
from troupe.cli.view import TaskView, fold


def drawn(events: list[ev.TaskEvent], *, width: int, height: int = 24) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=False)
    live = LiveProgress(console)
    view = TaskView()
    for event in events:
        view = fold(view, event)
    live._view = view
    console.print(live)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("count", range(16))
def test_every_moment_fits_the_width(width: int, count: int) -> None:
    lines = drawn(history()[:count], width=width)
    assert all(cell_len(line) + len("^C") < width for line in lines)
    assert len(lines) <= 24


def test_streamed_text_is_shown_while_it_is_written() -> None:
    assert any("Nothing is lost" in line for line in drawn(history()[:13], width=80))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=2000), st.text(min_size=1, max_size=200), st.integers(40, 160))
def test_any_text_fits(text: str, title: str, width: int) -> None:
    plan = Plan(steps=[Step(step_id="write", agent="writer", title=title, instruction="x")])
    events = [
        ev.TaskEvent(task_id=TASK_ID, task_planned=ev.TaskPlanned(plan=plan)),
        ev.TaskEvent(task_id=TASK_ID, step_started=ev.StepStarted(step_id="write", agent="writer", attempt=1)),
        ev.TaskEvent(task_id=TASK_ID, text_delta=ev.TextDelta(step_id="write", attempt=1, text=text)),
    ]
    assert len(drawn(events, width=width)) <= 24
