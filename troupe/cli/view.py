"""What a person sees of a task, computed from its events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from troupe.api.common.v1.error_pb2 import Error
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.event_pb2 import ApprovalDecision, TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import Planner, StepState, TaskMetrics, TaskOutput, TaskState

_ENDED: Final = (TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELLED)


@dataclass(frozen=True, slots=True)
class StepView:
    """A step; times are seconds of the server's clock."""

    step_id: str
    agent: str = ""
    title: str = ""
    depends_on: Sequence[str] = ()
    state: "StepState.ValueType" = StepState.STEP_STATE_PENDING
    attempt: int = 0
    failures: int = 0
    tool_calls: int = 0
    message: str = ""
    fraction: float | None = None
    text: str = ""
    error: Error | None = None
    started_at: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task after some of its events."""

    task_id: str = ""
    input: str = ""
    state: "TaskState.ValueType" = TaskState.TASK_STATE_UNSPECIFIED
    planner: "Planner.ValueType" = Planner.PLANNER_UNSPECIFIED
    rationale: str = ""
    steps: Mapping[str, StepView] = field(default_factory=dict)
    speaking: str = ""
    """The step whose text came last."""
    output: TaskOutput | None = None
    error: Error | None = None
    failed_step: str = ""
    reason: str = ""
    metrics: TaskMetrics | None = None
    last_sequence: int = 0

    @property
    def ended(self) -> bool:
        """Whether no event follows."""
        return self.state in _ENDED

    def with_step(self, step: StepView) -> "TaskView":
        """The view with one step replaced or added."""
        return replace(self, steps={**self.steps, step.step_id: step})


def fold(view: TaskView, event: TaskEvent) -> TaskView:
    """The view after one more event. Events of earlier attempts and of unknown kinds change nothing."""
    kind = event.WhichOneof("event")
    if kind is None or kind == "checkpoint":
        return view
    view = replace(view, task_id=event.task_id, last_sequence=event.sequence)
    at = event.event_time.ToNanoseconds() / 1e9
    payload = getattr(event, kind)
    if kind in _OF_TASK:
        return _OF_TASK[kind](view, payload)
    if kind in _OF_STEP:
        step = view.steps.get(payload.step_id) or StepView(payload.step_id)
        changed = _OF_STEP[kind](step, payload, at)
        speaking = step.step_id if kind == "text_delta" and changed is not step else view.speaking
        return replace(view.with_step(changed), speaking=speaking)
    return view


def _submitted(view: TaskView, event: Any) -> TaskView:
    return replace(view, input=event.spec.input, state=TaskState.TASK_STATE_SUBMITTED)


def _planned(view: TaskView, event: Any) -> TaskView:
    view = replace(view, planner=event.plan.planner, rationale=event.plan.rationale)
    return _with_new_steps(view, event.plan.steps)


def _added(view: TaskView, event: Any) -> TaskView:
    parent = view.steps.get(event.parent_step_id)
    if parent is not None:
        view = view.with_step(replace(parent, state=StepState.STEP_STATE_DELEGATING))
    return _with_new_steps(view, event.steps)


def _with_new_steps(view: TaskView, steps: Sequence[Step]) -> TaskView:
    new = {s.step_id: StepView(s.step_id, s.agent, s.title, tuple(s.depends_on)) for s in steps}
    return replace(view, steps={**view.steps, **new})


def _retried(view: TaskView, event: Any) -> TaskView:
    again = {i: replace(view.steps[i], state=StepState.STEP_STATE_PENDING) for i in event.step_ids if i in view.steps}
    return replace(
        view,
        state=TaskState.TASK_STATE_RUNNING,
        error=None,
        failed_step="",
        metrics=None,
        steps={**view.steps, **again},
    )


def _completed(view: TaskView, event: Any) -> TaskView:
    return replace(view, state=TaskState.TASK_STATE_COMPLETED, output=event.output, metrics=event.metrics)


def _failed(view: TaskView, event: Any) -> TaskView:
    view = replace(
        view,
        state=TaskState.TASK_STATE_FAILED,
        error=event.error,
        failed_step=event.step_id,
        metrics=event.metrics,
    )
    return _end_open_steps(view)


def _cancelled(view: TaskView, event: Any) -> TaskView:
    view = replace(view, state=TaskState.TASK_STATE_CANCELLED, reason=event.reason, metrics=event.metrics)
    return _end_open_steps(view)


def _end_open_steps(view: TaskView) -> TaskView:
    """Steps that had not ended when the task did: those that ran were cancelled, the others skipped."""
    final = {
        step.step_id: replace(step, state=_ENDS[step.state]) if step.state in _ENDS else step
        for step in view.steps.values()
    }
    return replace(view, steps=final)


_ENDS: Final = {
    StepState.STEP_STATE_PENDING: StepState.STEP_STATE_SKIPPED,
    StepState.STEP_STATE_READY: StepState.STEP_STATE_SKIPPED,
    StepState.STEP_STATE_AWAITING_APPROVAL: StepState.STEP_STATE_SKIPPED,
    StepState.STEP_STATE_RUNNING: StepState.STEP_STATE_CANCELLED,
    StepState.STEP_STATE_RETRYING: StepState.STEP_STATE_CANCELLED,
    StepState.STEP_STATE_DELEGATING: StepState.STEP_STATE_CANCELLED,
}


def _step_started(step: StepView, event: Any, at: float) -> StepView:
    return replace(
        step,
        agent=event.agent or step.agent,
        state=StepState.STEP_STATE_RUNNING,
        attempt=event.attempt,
        started_at=at,
        message="",
        fraction=None,
        text="",
        error=None,
    )


def _progressed(step: StepView, event: Any, _at: float) -> StepView:
    if event.attempt != step.attempt:
        return step
    return replace(step, message=event.message, fraction=event.fraction if event.HasField("fraction") else None)


def _spoke(step: StepView, event: Any, _at: float) -> StepView:
    return replace(step, text=step.text + event.text) if event.attempt == step.attempt else step


def _called_tool(step: StepView, event: Any, _at: float) -> StepView:
    if event.attempt != step.attempt:
        return step
    return replace(step, tool_calls=step.tool_calls + 1, message=f"{event.tool} …")


def _tool_returned(step: StepView, event: Any, _at: float) -> StepView:
    if event.attempt != step.attempt:
        return step
    said = event.error.message if event.HasField("error") else event.summary
    return replace(step, message=f"{event.tool}: {said}" if said else event.tool)


def _approval_asked(step: StepView, event: Any, _at: float) -> StepView:
    return replace(step, state=StepState.STEP_STATE_AWAITING_APPROVAL, message=event.summary)


def _approval_given(step: StepView, event: Any, _at: float) -> StepView:
    approved = event.decision == ApprovalDecision.APPROVAL_DECISION_APPROVE
    return replace(step, state=StepState.STEP_STATE_READY if approved else step.state, message=event.comment)


def _step_completed(step: StepView, event: Any, _at: float) -> StepView:
    seconds = event.execution_time.ToNanoseconds() / 1e9
    return replace(
        step,
        state=StepState.STEP_STATE_COMPLETED,
        attempt=event.attempt,
        seconds=seconds,
        message="",
        fraction=None,
        error=None,
    )


def _step_failed(step: StepView, event: Any, at: float) -> StepView:
    state = StepState.STEP_STATE_RETRYING if event.will_retry else StepState.STEP_STATE_FAILED
    seconds = None if step.started_at is None or event.will_retry else max(0.0, at - step.started_at)
    return replace(
        step, state=state, failures=step.failures + 1, error=event.error, seconds=seconds, message=event.error.message
    )


_OF_TASK: Final = {
    "task_submitted": _submitted,
    "task_planned": _planned,
    "steps_added": _added,
    "task_completed": _completed,
    "task_failed": _failed,
    "task_retried": _retried,
    "task_cancelled": _cancelled,
}
_OF_STEP: Final = {
    "step_started": _step_started,
    "step_progress": _progressed,
    "text_delta": _spoke,
    "tool_started": _called_tool,
    "tool_finished": _tool_returned,
    "approval_requested": _approval_asked,
    "approval_resolved": _approval_given,
    "step_completed": _step_completed,
    "step_failed": _step_failed,
}


def depths(steps: Mapping[str, StepView]) -> Mapping[str, int]:
    """How many steps stand before each, on the longest way."""
    known: dict[str, int] = {}
    for step in steps.values():  # each stands behind what it depends on
        known[step.step_id] = max((known[d] + 1 for d in step.depends_on if d in known), default=0)
    return known
