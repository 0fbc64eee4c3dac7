"""What must hold of every stored history: pure checks over its events."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.bench.chaos.outputs import counted, expected_text
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.api.orchestrator.v1.event_pb2 import ApprovalDecision, StepFailed, TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import Budget, TaskMetrics
from troupe.client import is_terminal

_SCRIPTED = {
    ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE,
    ErrorReason.ERROR_REASON_MODEL_REFUSED,
}
_ALL_NUMBERS = counted(range(10_000))
_INFRASTRUCTURE = {ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE}


@dataclass
class _StepSeen:
    """A step as far as the history has gone."""

    step: Step
    parent: str = ""
    delegated: list[str] = field(default_factory=list)
    asked: bool = False
    approved: bool = False
    failures: int = 0
    """Attempts that failed since the task was last taken up."""
    attempt: int = 0
    running: bool = False
    completed: bool = False
    text: str = ""
    said: str = ""
    garbled: bool = False
    """Whether it was told already that what the attempt says is wrong."""


@dataclass
class History:
    """Reads a history event by event and keeps what is wrong with it."""

    steps: dict[str, _StepSeen] = field(default_factory=dict)
    usage: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    problems: list[str] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)
    rejected: bool = False
    cancelled: bool = False
    """Whether it ends so: attempts that fail meanwhile are not made again."""

    def read(self, events: Sequence[TaskEvent]) -> "History":
        """Reads all of it."""
        if [event.sequence for event in events] != list(range(1, len(events) + 1)):
            self._wrong("gap", f"sequences {[event.sequence for event in events]}")
        self.cancelled = kind(events[-1]) == "task_cancelled"
        if not is_terminal(events[-1]):
            self._wrong("end", f"the last event is {kind(events[-1])}")
        for event, following in pairwise(events):
            if is_terminal(event) and not (event.HasField("task_failed") and following.HasField("task_retried")):
                self._wrong("end", f"{place(following)} follows {place(event)}")
            if following.HasField("task_retried") and not is_terminal(event):
                self._wrong("end", f"{place(following)} follows {place(event)}")
        if [kind(event) for event in events[:2]] != ["task_submitted", "task_planned"]:
            self._wrong("begin", f"begins with {[kind(event) for event in events[:2]]}")
        for event in events:
            getattr(self, f"_on_{kind(event)}", self._on_other)(event)
        return self

    def _wrong(self, what: str, problem: str) -> None:
        self.problems.append(f"{what}: {problem}")

    def _on_other(self, event: TaskEvent) -> None:
        """Something that an attempt said."""
        self._running(event)

    def _on_task_submitted(self, event: TaskEvent) -> None:
        self.budget = event.task_submitted.spec.budget

    def _on_task_planned(self, event: TaskEvent) -> None:
        self.steps = {step.step_id: _StepSeen(step) for step in event.task_planned.plan.steps}

    def _on_step_started(self, event: TaskEvent) -> None:
        started = event.step_started
        seen = self.steps[started.step_id]
        self.attempts += 1
        if started.attempt <= seen.attempt:
            self._wrong("attempt", f"{place(event)} starts attempt {started.attempt} after {seen.attempt}")
        if seen.completed:
            self._wrong("restart", f"{place(event)} starts a completed step")
        if missing := [name for name in seen.step.depends_on if not self.steps[name].completed]:
            self._wrong("order", f"{place(event)} starts before {missing} completed")
        seen.attempt, seen.running = started.attempt, True
        seen.said, seen.garbled = "", False

        if left := [name for name in seen.delegated if not self.steps[name].completed]:
            self._wrong("order", f"{place(event)} starts before {left}, which it delegated, completed")
        if seen.step.requires_approval and not seen.approved:
            self._wrong("approval", f"{place(event)} starts without an approval")

    def _on_steps_added(self, event: TaskEvent) -> None:
        added = event.steps_added
        seen = self.steps[added.parent_step_id]
        if not seen.running or seen.delegated or seen.step.agent != "delegator":
            self._wrong("delegation", f"{place(event)} of {added.parent_step_id}, which cannot delegate now")
        seen.running = False
        for step in added.steps:
            if step.step_id in self.steps:
                self._wrong("delegation", f"{place(event)} adds {step.step_id} again")
            self.steps[step.step_id] = _StepSeen(step, added.parent_step_id)
            seen.delegated.append(step.step_id)

    def _on_approval_requested(self, event: TaskEvent) -> None:
        seen = self.steps[event.approval_requested.step_id]
        if not seen.step.requires_approval or seen.asked or seen.approved:
            self._wrong("approval", f"{place(event)} of {seen.step.step_id}: nothing is to be asked")
        seen.asked = True

    def _on_approval_resolved(self, event: TaskEvent) -> None:
        resolved = event.approval_resolved
        seen = self.steps[resolved.step_id]
        if not seen.asked:
            self._wrong("approval", f"{place(event)} of {seen.step.step_id}: nothing was asked")
        seen.asked = False
        seen.approved = resolved.decision == ApprovalDecision.APPROVAL_DECISION_APPROVE
        self.rejected = not seen.approved

    def _on_task_retried(self, event: TaskEvent) -> None:
        left = {name for name, seen in self.steps.items() if not seen.completed}
        if set(event.task_retried.step_ids) != left:
            self._wrong("retry", f"{place(event)} names {event.task_retried.step_ids}, not {sorted(left)}")
        for name in left:
            self.steps[name].asked, self.steps[name].failures = False, 0
        self.rejected = False

    def _on_text_delta(self, event: TaskEvent) -> None:
        seen = self._running(event)
        seen.said += event.text_delta.text
        if not _ALL_NUMBERS.startswith(seen.said) and not seen.garbled:
            seen.garbled = True
            self._wrong("text", f"{place(event)}: the attempt has said {_end(seen.said)!r}")

    def _on_usage_reported(self, event: TaskEvent) -> None:
        self._running(event)
        self.usage.update(_counts(event.usage_reported.usage))

    def _on_step_completed(self, event: TaskEvent) -> None:
        seen, completed = self._running(event), event.step_completed
        if seen.completed:
            self._wrong("twice", f"{place(event)} completes a second time")
        seen.completed, seen.running, seen.text = True, False, completed.output.text
        inputs = [self.steps[name].text for name in (*seen.step.depends_on, *seen.delegated)]
        expected = expected_text(completed.step_id, inputs)
        if seen.step.agent == "delegator" and not seen.delegated:
            self._wrong("delegation", f"{place(event)}: it has not delegated")
        if completed.output.text != expected or completed.output.data != b"%d" % completed.attempt:
            self._wrong("result", f"{place(event)}: {completed.output}, not {expected!r}")
        if seen.step.agent == "counter" and seen.said != _whole(seen.step):
            self._wrong("text", f"{place(event)}: the whole attempt has said {_end(seen.said)!r}")

    def _on_step_failed(self, event: TaskEvent) -> None:
        seen = self._running(event)
        seen.running = False
        seen.failures += 1
        if problem := _unexplained(seen, event.step_failed, cancelled=self.cancelled):
            self._wrong("failure", f"{place(event)}: {problem}")

    def _on_task_completed(self, event: TaskEvent) -> None:
        if left := [name for name, seen in self.steps.items() if not seen.completed]:
            self._wrong("incomplete", f"the task completed without {left}")
        known = self.steps.items()
        last = {name for name, one in known if not one.parent and not any(name in s.step.depends_on for _, s in known)}
        if event.task_completed.output.text not in {self.steps[name].text for name in last}:
            self._wrong("result", f"the task's output is {event.task_completed.output.text!r}")
        if self.budget.max_tokens and self._tokens > self.budget.max_tokens:
            self._wrong("budget", f"the task completed with {self._tokens} tokens of {self.budget.max_tokens}")
        self._measured(event.task_completed.metrics)

    def _on_task_failed(self, event: TaskEvent) -> None:
        if event.task_failed.error.reason == ErrorReason.ERROR_REASON_INTERNAL:
            self._wrong("failure", f"the task failed: {event.task_failed.error}")
        reason = event.task_failed.error.reason
        if self.rejected != (reason == ErrorReason.ERROR_REASON_APPROVAL_REJECTED):
            self._wrong("approval", f"rejected is {self.rejected}, the task failed with {ErrorReason.Name(reason)}")
        if reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED and not self.budget.max_tokens:
            self._wrong("budget", "there is none, and the task spent it")
        self._measured(event.task_failed.metrics)

    def _on_task_cancelled(self, event: TaskEvent) -> None:
        self._measured(event.task_cancelled.metrics)

    @property
    def _tokens(self) -> int:
        return self.usage["input_tokens"] + self.usage["output_tokens"]

    def _measured(self, metrics: TaskMetrics) -> None:
        for seen in self.steps.values():
            seen.running = False
        if (counts := _counts(metrics.usage)) != self.usage:
            self._wrong("usage", f"metrics say {dict(counts)}, the events {dict(self.usage)}")

    def _running(self, event: TaskEvent) -> _StepSeen:
        said = getattr(event, kind(event))
        seen = self.steps[said.step_id]
        if said.attempt != seen.attempt or not seen.running:
            state = "running" if seen.running else "not running"
            self._wrong("fence", f"{place(event)} is of attempt {said.attempt}; attempt {seen.attempt} is {state}")
        return seen


def kind(event: TaskEvent) -> str:
    """The event's name."""
    return event.WhichOneof("event") or "nothing"


def place(event: TaskEvent) -> str:
    """Where an event stands, for people."""
    said = getattr(event, kind(event))
    step = f" of {said.step_id}@{said.attempt}" if hasattr(said, "attempt") else ""
    return f"#{event.sequence} {kind(event)}{step}"


def excerpt(events: Sequence[TaskEvent], sequence: int | None, *, most: int = 40) -> Iterator[str]:
    """A history, a line an event: around a sequence when it is long, else its end."""
    last = len(events) if sequence is None else min(len(events), sequence + most // 4)
    for event in events[max(0, last - most) : last]:
        yield f"{event.event_time.ToJsonString()} {place(event)}"


def _end(text: str) -> str:
    return text[-400:]


def _whole(step: Step) -> str:
    numbers = dict(pair.split("=") for pair in step.instruction.split())["numbers"]
    return counted(range(int(numbers)))


def _counts(usage: Usage) -> Counter[str]:
    names = ("input_tokens", "output_tokens", "cost_usd_micros", "model_calls")
    return Counter({name: count for name in names if (count := getattr(usage, name))})


def _unexplained(seen: _StepSeen, failed: StepFailed, *, cancelled: bool) -> str | None:
    """What speaks against a failure: no script and no kill explains its reason, or the retry is wrong."""
    error, policy = failed.error, seen.step.retry_policy
    codes = policy.retryable_codes
    if error.reason not in _SCRIPTED | _INFRASTRUCTURE | {ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED}:
        return f"{ErrorReason.Name(error.reason)} {error.message!r}"
    retryable = error.code in codes if codes else error.retryable
    retries = retryable and seen.failures < policy.max_attempts
    if failed.will_retry != retries and not (cancelled and retries):
        return f"will_retry is {failed.will_retry} after {seen.failures} failures with {policy}"
    return None
