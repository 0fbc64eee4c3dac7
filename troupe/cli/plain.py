"""A task as plain lines, for pipes and files."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from troupe.api.orchestrator.v1.event_pb2 import (
    ApprovalDecision,
    ApprovalRequested,
    ApprovalResolved,
    StepCompleted,
    StepFailed,
    StepProgress,
    StepsAdded,
    StepStarted,
    TaskCancelled,
    TaskCompleted,
    TaskEvent,
    TaskFailed,
    TaskPlanned,
    TaskRetried,
    TaskSubmitted,
    ToolFinished,
)
from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.cli import words
from troupe.cli.report import failure, report_text
from troupe.cli.shell_words import in_shell_words
from troupe.cli.streams import note, say, say_line
from troupe.cli.view import TaskView


class PlainProgress:
    """One line an event that a person would want to see; streamed text is left to the report."""

    def show(self, event: TaskEvent, view: TaskView) -> None:
        """Prints the event's line, if it has one."""
        for line in lines(event, view):
            say_line(line)

    def say(self, message: str) -> None:
        """Prints the message on standard error: whoever reads the pipe may be gone."""
        note(message)

    def close(self) -> None:
        """Does nothing."""

    def result(self, view: TaskView) -> None:
        """Prints the report as it is, or why there is none."""
        if view.state == TaskState.TASK_STATE_COMPLETED and view.output is not None:
            say(f"\n{report_text(view.output)}")


def lines(event: TaskEvent, view: TaskView) -> Iterator[str]:
    """What is said of an event."""
    kind = event.WhichOneof("event")
    if kind is not None and kind in _LINES:
        yield from _LINES[kind](getattr(event, kind), view)


def _submitted(_event: TaskSubmitted, view: TaskView) -> Iterator[str]:
    yield f"task {view.task_id} submitted"


def _planned(event: TaskPlanned, view: TaskView) -> Iterator[str]:
    yield f"planned {words.plural(len(event.plan.steps), 'step')} {words.PLANNERS.get(view.planner, '')}".rstrip()
    for step in event.plan.steps:
        after = f" (after {', '.join(step.depends_on)})" if step.depends_on else ""
        yield f"  {step.step_id}: {step.agent}: {step.title or words.first_line(step.instruction)}{after}"


def _started(event: StepStarted, _view: TaskView) -> Iterator[str]:
    yield f"[{event.step_id}] started" + (f", attempt {event.attempt}" if event.attempt > 1 else "")


def _progressed(event: StepProgress, _view: TaskView) -> Iterator[str]:
    if event.message:
        yield f"[{event.step_id}] {event.message}"


def _tool_returned(event: ToolFinished, _view: TaskView) -> Iterator[str]:
    said = event.error.message if event.HasField("error") else event.summary
    yield f"[{event.step_id}] {event.tool}: {said} ({_duration(event.duration)})"


def _added(event: StepsAdded, _view: TaskView) -> Iterator[str]:
    yield f"[{event.parent_step_id}] delegates to {', '.join(step.step_id for step in event.steps)}"


def _approval_asked(event: ApprovalRequested, view: TaskView) -> Iterator[str]:
    yield f"[{event.step_id}] waits for approval: {event.summary}"
    yield f"[{event.step_id}] decide with: troupe approve {view.task_id} {event.step_id}"


def _approval_given(event: ApprovalResolved, _view: TaskView) -> Iterator[str]:
    decision = "approved" if event.decision == ApprovalDecision.APPROVAL_DECISION_APPROVE else "rejected"
    by = f" by {event.decided_by}" if event.decided_by else ""
    yield f"[{event.step_id}] {decision}{by}{': ' + event.comment if event.comment else ''}"


def _retried(event: TaskRetried, _view: TaskView) -> Iterator[str]:
    yield f"taken up again: {', '.join(event.step_ids)}"


def _step_completed(event: StepCompleted, _view: TaskView) -> Iterator[str]:
    yield f"[{event.step_id}] completed in {_duration(event.execution_time)}"


def _step_failed(event: StepFailed, _view: TaskView) -> Iterator[str]:
    next_try = f"; next attempt in {_duration(event.retry_delay)}" if event.will_retry else ""
    yield f"[{event.step_id}] attempt {event.attempt} failed: {in_shell_words(event.error.message)}{next_try}"


def _completed(event: TaskCompleted, _view: TaskView) -> Iterator[str]:
    yield f"task completed in {words.summary(event.metrics)}"


def _ended_without_result(_event: TaskFailed | TaskCancelled, view: TaskView) -> Iterator[str]:
    yield failure(view)


def _duration(duration: Duration) -> str:
    return words.duration(duration.ToNanoseconds() / 1e9)


_LINES: Final[Mapping[str, Callable[[Any, TaskView], Iterator[str]]]] = {
    "task_submitted": _submitted,
    "task_planned": _planned,
    "step_started": _started,
    "step_progress": _progressed,
    "tool_finished": _tool_returned,
    "steps_added": _added,
    "approval_requested": _approval_asked,
    "approval_resolved": _approval_given,
    "task_retried": _retried,
    "step_completed": _step_completed,
    "step_failed": _step_failed,
    "task_completed": _completed,
    "task_failed": _ended_without_result,
    "task_cancelled": _ended_without_result,
}
