"""Events become a view."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.task_server import REPORT, TASK_ID, history
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1 import event_pb2 as ev
from troupe.api.orchestrator.v1.task_pb2 import StepState, TaskState
from troupe.cli.view import TaskView, depths, fold


def view_of(events: list[ev.TaskEvent]) -> TaskView:
    view = TaskView()
    for event in events:
        view = fold(view, event)
    return view


def test_a_completed_task() -> None:
    view = view_of(history())
    assert (view.task_id, view.state, view.input) == (TASK_ID, TaskState.TASK_STATE_COMPLETED, "why?")
    assert view.output is not None
    assert view.output.text == REPORT
    assert {step.state for step in view.steps.values()} == {StepState.STEP_STATE_COMPLETED}
    write = view.steps["write"]
    assert (write.text, write.attempt, write.failures) == ("Nothing is lost", 2, 1)
    assert view.steps["find"].tool_calls == 1
    assert depths(view.steps) == {"find": 0, "write": 1}


def test_while_a_step_waits_for_its_next_attempt() -> None:
    view = view_of(history()[:10])
    assert view.steps["write"].state == StepState.STEP_STATE_RETRYING
    assert view.steps["write"].message == "the model sleeps"


def test_a_cancelled_task_leaves_no_step_open() -> None:
    cancelled = ev.TaskEvent(task_id=TASK_ID, sequence=4, task_cancelled=ev.TaskCancelled(reason="enough"))
    view = view_of([*history()[:3], cancelled])
    assert (view.state, view.reason) == (TaskState.TASK_STATE_CANCELLED, "enough")
    assert view.steps["find"].state == StepState.STEP_STATE_CANCELLED
    assert view.steps["write"].state == StepState.STEP_STATE_SKIPPED


def test_added_steps_appear() -> None:
    added = ev.StepsAdded(parent_step_id="find", steps=[Step(step_id="more", agent="x", instruction="y")])
    view = view_of([*history()[:3], ev.TaskEvent(task_id=TASK_ID, sequence=4, steps_added=added)])
    assert list(view.steps) == ["find", "write", "more"]
    assert view.steps["find"].state == StepState.STEP_STATE_DELEGATING


@given(st.permutations(history()), st.integers(0, 15))
def test_no_order_of_events_breaks_the_view(events: list[ev.TaskEvent], count: int) -> None:
    """A watcher that joins late sees steps before their plan."""
    view = view_of(events[:count])
    assert set(depths(view.steps)) == set(view.steps)


@given(st.integers(0, 15))
def test_checkpoints_change_nothing(count: int) -> None:
    view = view_of(history()[:count])
    assert fold(view, ev.TaskEvent(checkpoint=ev.Checkpoint(last_sequence=count))) is view


def test_text_of_an_earlier_attempt_does_not_count() -> None:
    late = ev.TaskEvent(task_id=TASK_ID, text_delta=ev.TextDelta(step_id="write", attempt=1, text="late"))
    assert view_of([*history()[:12], late]).steps["write"].text == "Nothing "
