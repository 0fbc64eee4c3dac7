"""Compares what is stored with what was seen and what is promised."""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.bench.chaos.crowd import Crowd
from tests.bench.chaos.histories import History, excerpt, kind, place
from tests.support.engine import history
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import StepState, StepStatus, Task, TaskState

_STATES: Mapping[str, "TaskState.ValueType"] = {
    "task_completed": TaskState.TASK_STATE_COMPLETED,
    "task_failed": TaskState.TASK_STATE_FAILED,
    "task_cancelled": TaskState.TASK_STATE_CANCELLED,
}


@dataclass(frozen=True, order=True)
class Span:
    """When a task ended, in seconds since the epoch, and the longest time in which its history stood still."""

    ended: float
    silent_seconds: float
    silence: str
    """Between which events that was."""
    task_id: str

    @classmethod
    def of(cls, stored: Sequence[TaskEvent], after: float) -> "Span":
        """The longest silence is looked for after a time."""
        late = [event for event in stored if event.event_time.ToMicroseconds() / 1e6 >= after]
        silences = [
            ((b.event_time.ToMicroseconds() - a.event_time.ToMicroseconds()) / 1e6, f"{place(a)} → {place(b)}")
            for a, b in pairwise(late)
        ]
        ended = stored[-1].event_time.ToMicroseconds() / 1e6
        return cls(ended, *max(silences, default=(0.0, "")), stored[-1].task_id)


@dataclass
class Verdict:
    """What the histories hold and what is wrong with them."""

    ends: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    completed_steps: int = 0
    attempts: int = 0
    events: int = 0
    results_lost: int = 0
    gaps: int = 0
    spans: list[Span] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


async def judge(crowd: Crowd, calm: Sequence[str], *, healed: float) -> Verdict:
    """Reads every accepted task back.

    `calm` tasks had nothing done to them; `healed` is when the last fault was over, in seconds since the epoch.
    """
    verdict = Verdict()
    views = defaultdict(list)
    for view in crowd.views:
        views[view.task_id].append(view)
    for task_id in crowd.accepted:
        stored, other = await asyncio.gather(*(history(stub, task_id) for stub in crowd.stubs))
        problems = _judge_one(verdict, stored, await crowd.task(task_id))
        if other != stored:
            problems.append("replicas: the orchestrators show different histories")
        for view in views[task_id]:
            if view.events != stored:
                problems.append(f"watcher: {view} saw {len(view.events)} events to {view.cursor}, not the history")
        if task_id in crowd.cancelled_at_once and kind(stored[-1]) != "task_cancelled":
            problems.append(f"cancel: it was cancelled, and ended with {kind(stored[-1])}")
        if task_id in calm and kind(stored[-1]) != "task_completed":
            problems.append(f"calm: {stored[-1]}")
        if task_id not in calm:
            verdict.spans.append(Span.of(stored, healed))
        verdict.gaps += sum(problem.startswith("gap") for problem in problems)
        verdict.violations += _described(task_id, crowd.accepted[task_id].number, problems, stored)
    return verdict


async def stuck(crowd: Crowd) -> list[str]:
    """The watchers that wait for an end, and where their tasks stand."""
    lines = []
    for view in crowd.views:
        if not view.ended and view.task_id:
            task = await crowd.task(view.task_id)
            steps = ", ".join(f"{status.step.step_id} {_step_state(status)}" for status in task.steps)
            state = TaskState.Name(task.state).removeprefix("TASK_STATE_")
            lines += [f"{view} waits after {view.cursor} of {task.last_sequence}; the task is {state}: {steps}"]
            lines += [f"    {line}" for line in excerpt(view.events, None)]
    return lines


def _step_state(status: StepStatus) -> str:
    return f"{StepState.Name(status.state).removeprefix('STEP_STATE_')}@{status.attempt}"


def _judge_one(verdict: Verdict, stored: Sequence[TaskEvent], task: Task) -> list[str]:
    read = History().read(stored)
    end = kind(stored[-1])
    verdict.ends[end] += 1
    if end == "task_failed":
        failed = stored[-1].task_failed
        verdict.failures[f"{failed.error.message[:60]}"] += 1
    verdict.steps += len(read.steps)
    verdict.attempts += read.attempts
    verdict.events += len(stored)
    problems = [*read.problems, *_record(stored, task)]
    lost = _lost(stored, task)
    verdict.completed_steps += sum(seen.completed for seen in read.steps.values())
    verdict.results_lost += len(lost)
    return problems + lost


def _record(stored: Sequence[TaskEvent], task: Task) -> list[str]:
    """Where `GetTask` contradicts the history."""
    problems = []
    end = stored[-1]
    if task.state != _STATES.get(kind(end)):
        problems.append(f"record: the state is {TaskState.Name(task.state)}, the last event {kind(end)}")
    if task.last_sequence != end.sequence:
        problems.append(f"record: `last_sequence` is {task.last_sequence}, the last event is {end.sequence}")
    if end.HasField("task_completed") and task.output != end.task_completed.output:
        problems.append("record: the output is not that of the terminal event")
    return problems


def _lost(stored: Sequence[TaskEvent], task: Task) -> list[str]:
    """Completed steps whose output `GetTask` does not have, or has otherwise."""
    steps = {status.step.step_id: status for status in task.steps}
    completed = [event.step_completed for event in stored if event.HasField("step_completed")]
    problems = [
        f"lost: the output of {event.step_id} is {steps[event.step_id].output}"
        for event in completed
        if steps[event.step_id].output != event.output
        or steps[event.step_id].state != StepState.STEP_STATE_COMPLETED
        or steps[event.step_id].attempt != event.attempt
    ]
    known = {event.step_id for event in completed}
    for step_id, status in steps.items():
        if status.state == StepState.STEP_STATE_COMPLETED and step_id not in known:
            problems.append(f"lost: {step_id} counts as completed and no event says so")
    return problems


def _described(task_id: str, number: int, problems: Sequence[str], stored: Sequence[TaskEvent]) -> list[str]:
    if not problems:
        return []
    named = re.search(r"#(\d+)", " ".join(problems))
    sequence = int(named[1]) if named else None
    lines = [f"task {task_id} (job {number})", *(f"  {problem}" for problem in problems), "  history:"]
    return ["\n".join([*lines, *(f"    {line}" for line in excerpt(stored, sequence))])]
