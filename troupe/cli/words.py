"""Figures and states in words."""

from typing import Final

from troupe.api.common.v1.usage_pb2 import Usage
from troupe.api.orchestrator.v1.task_pb2 import Planner, StepState, Task, TaskMetrics, TaskState

TASK_STATES: Final = {
    TaskState.TASK_STATE_SUBMITTED: "submitted",
    TaskState.TASK_STATE_RUNNING: "running",
    TaskState.TASK_STATE_CANCELLING: "cancelling",
    TaskState.TASK_STATE_COMPLETED: "completed",
    TaskState.TASK_STATE_FAILED: "failed",
    TaskState.TASK_STATE_CANCELLED: "cancelled",
}
STEP_STATES: Final = {
    StepState.STEP_STATE_PENDING: "waiting",
    StepState.STEP_STATE_READY: "ready",
    StepState.STEP_STATE_RUNNING: "running",
    StepState.STEP_STATE_RETRYING: "retrying",
    StepState.STEP_STATE_DELEGATING: "delegating",
    StepState.STEP_STATE_AWAITING_APPROVAL: "needs approval",
    StepState.STEP_STATE_COMPLETED: "completed",
    StepState.STEP_STATE_FAILED: "failed",
    StepState.STEP_STATE_CANCELLED: "cancelled",
    StepState.STEP_STATE_SKIPPED: "skipped",
}
PLANNERS: Final = {
    Planner.PLANNER_CALLER: "given",
    Planner.PLANNER_RULES: "by rules",
    Planner.PLANNER_MODEL: "by a model",
}


def first_line(text: str) -> str:
    """The first line that is not blank; empty where there is none."""
    return next((line for line in text.splitlines() if line.strip()), "")


def plural(count: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """`42 ms`, `3.2 s`, `4 min 05 s`, `2 h 07 min`."""
    if seconds < 0.0995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def usage(used: Usage) -> str:
    """Tokens and money; empty where nothing was used."""
    tokens = used.input_tokens + used.output_tokens
    parts = [plural(tokens, "token")] if tokens else []
    if used.cost_usd_micros:
        parts.append(f"${used.cost_usd_micros / 1e6:.4f}")
    return ", ".join(parts)


def summary(metrics: TaskMetrics) -> str:
    """How long the task took and what it used."""
    parts = [duration(metrics.total_time.ToNanoseconds() / 1e9)]
    if metrics.steps:
        parts.append(plural(len(metrics.steps), "step"))
    if used := usage(metrics.usage):
        parts.append(used)
    return " · ".join(parts)


def task_duration(task: Task) -> str:
    """From submission to the end; empty while it runs."""
    if not task.HasField("end_time"):
        return ""
    return duration((task.end_time.ToNanoseconds() - task.create_time.ToNanoseconds()) / 1e9)
