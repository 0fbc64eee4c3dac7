"""The state machine of a task: the model of the script in `orchestrator/store/lua`.

Each operation is a function of the task and its arguments, and tells the new task, the outcome, the events and what
was begun or queued. Queues, leases and clocks are the script's: an expired lease, a due retry and a passed deadline are
operations here.
"""

from collections.abc import Sequence
from dataclasses import replace

from tests.model.model import (
    NOTHING,
    Amount,
    Change,
    Event,
    EventKind,
    Outcome,
    PlannedStep,
    StepModel,
    TaskModel,
)
from tests.model.operation import REJECT, Rooms, Work
from tests.model.states import StepState, TaskState
from troupe.orchestrator.domain.delegation import DelegationBounds


def submit(task_id: str, plan: Sequence[PlannedStep], *, budget: Amount) -> Change:
    """Stores a task and makes ready what waits for nothing."""
    steps = {step.step_id: StepModel(step) for step in plan}
    work = Work(TaskModel(task_id, budget, order=tuple(steps), steps=steps))
    work.note(EventKind.TASK_SUBMITTED)
    work.note(EventKind.TASK_PLANNED)
    work.make_ready([step for step in steps if not steps[step].planned.depends_on])
    return work.done(Outcome.CREATED)


def begin(task: TaskModel, step: str, attempt: int) -> Change:
    """A worker got `step@attempt` out of a queue: begins it if the step is ready for just this attempt."""
    work = Work(task)
    found = task.steps.get(step)
    if found is None or found.state != StepState.READY or found.attempt != attempt - 1 or step in task.parked:
        return work.done(Outcome.NOTHING)
    work.begin(step)
    return work.done(Outcome.RECORDED)


def report(
    task: TaskModel, step: str, attempt: int, *, first: int, reports: Sequence[tuple[EventKind, Amount]]
) -> Change:
    """Appends events of an attempt, behind the `first` that went before. Ends a task that is over its budget."""
    if not holds(task, step, attempt):
        return Change(task, Outcome.LOST)
    work, before = Work(task), task.steps[step].reported
    new = reports[max(0, before - first) :]
    for kind, _ in new:
        work.note(kind, step, attempt)
    amount = sum((used for _, used in new), NOTHING)
    current = task.steps[step]
    work.edit(
        step,
        reported=before + len(new),
        used=current.used + amount,
        held=current.held - current.held.least(amount),
    )
    if amount and work.task.used.exceeds(task.budget):
        work.fail_task(step)
    return work.done(Outcome.RECORDED)


def complete(task: TaskModel, step: str, attempt: int, *, rooms: Rooms) -> Change:
    """Records a step's output and lets go what waited for it."""
    if not holds(task, step, attempt):
        return Change(task, Outcome.LOST)
    work = Work(task, dict(rooms))
    ready = work.close_attempt(step, StepState.COMPLETED)
    work.note(EventKind.STEP_COMPLETED, step, attempt)
    if work.task.open == 0:
        work.end(TaskState.COMPLETED, Event(EventKind.TASK_COMPLETED))
    elif work.is_cancelling:
        work.end_cancelling()
    else:
        waiting = (StepState.PENDING, StepState.DELEGATING)
        released = [
            other
            for other in work.task.waiting_on(step)
            if work.task.steps[other].state in waiting and work.task.waiting_for(other) == 0
        ]
        work.make_ready([*ready, *released])
    return work.done(Outcome.RECORDED)


def fail(task: TaskModel, step: str, attempt: int, *, retry: bool, rooms: Rooms) -> Change:
    """Records a failed attempt: the step waits for its next one, or the task fails."""
    if not holds(task, step, attempt):
        return Change(task, Outcome.LOST)
    work = Work(task, dict(rooms))
    again = retry and not work.is_cancelling
    ready = work.close_attempt(step, StepState.RETRYING if again else StepState.FAILED)
    work.edit(step, failures=task.steps[step].failures + 1)
    work.events.append(Event(EventKind.STEP_FAILED, step, attempt, will_retry=again))
    if work.is_cancelling:
        work.end_cancelling()
    elif again:
        work.retries.append((step, attempt))
        work.make_ready(ready)
    else:
        work.fail_task(step)
    return work.done(Outcome.RECORDED)


def retry_due(task: TaskModel, step: str, attempt: int) -> Change:
    """The delay after a failed attempt is over."""
    work = Work(task)
    if task.steps[step].state != StepState.RETRYING or task.steps[step].attempt != attempt:
        return work.done(Outcome.NOTHING)
    work.make_ready([step])
    return work.done(Outcome.RECORDED)


def delegate(
    task: TaskModel, step: str, attempt: int, *, plan: Sequence[PlannedStep], bounds: DelegationBounds, rooms: Rooms
) -> Change:
    """Adds steps that the attempt's own step waits for."""
    if not holds(task, step, attempt):
        return Change(task, Outcome.LOST)
    depth = task.steps[step].depth + 1
    too_many = len(task.order) + len(plan) > bounds.max_steps
    if depth > bounds.max_depth or too_many or any(new.step_id in task.steps for new in plan):
        return Change(task, Outcome.REFUSED)
    work = Work(task, dict(rooms))
    work.add_steps(step, plan, depth)
    ready = work.close_attempt(step, StepState.DELEGATING)
    work.note(EventKind.STEPS_ADDED, step)
    if work.is_cancelling:
        work.end_cancelling()
    else:
        free = [new.step_id for new in plan if work.task.waiting_for(new.step_id) == 0]
        work.make_ready([*ready, *free])
    return work.done(Outcome.RECORDED)


def hand_back(task: TaskModel, step: str, attempt: int) -> Change:
    """The worker stops before the attempt is done: the step is ready for another."""
    if not holds(task, step, attempt):
        return Change(task, Outcome.LOST)
    work = Work(task)
    work.put_back(step)
    return work.done(Outcome.RECORDED)


def expire(task: TaskModel, step: str, attempt: int, *, max_lost_leases: int) -> Change:
    """The lease of an attempt has run out: the step is taken over, or fails if that happened too often."""
    if not holds(task, step, attempt):
        return Change(task, Outcome.NOTHING)
    work = Work(task)
    lost = task.steps[step].lost + 1
    work.edit(step, lost=lost)
    if lost >= max_lost_leases and not work.is_cancelling:
        work.close_attempt(step, StepState.FAILED)
        work.fail_task(step)
    else:
        work.put_back(step)
    return work.done(Outcome.RECORDED)


def deadline(task: TaskModel) -> Change:
    """The time of the task is up."""
    work = Work(task)
    if task.state.is_final:
        return work.done(Outcome.NOTHING)
    work.fail_task("")
    return work.done(Outcome.RECORDED)


def cancel(task: TaskModel, *, after_step: bool) -> Change:
    """Cancels a task: at once, or when its running steps have ended."""
    work = Work(task)
    if task.state.is_final:
        return work.done(Outcome.CANCELLED if task.state == TaskState.CANCELLED else Outcome.ENDED)
    if not after_step or task.running == 0:
        work.cancel_task()
        return work.done(Outcome.CANCELLED)
    if not work.is_cancelling:
        work.set_state(TaskState.CANCELLING)
    for step in task.order:
        current = task.steps[step].state
        if not current.is_final and current != StepState.RUNNING:
            work.edit(step, state=StepState.SKIPPED)
    return work.done(Outcome.CANCELLING)


def resolve(task: TaskModel, step: str, *, decision: str) -> Change:
    """A person's decision about a step that waits for it."""
    work = Work(task)
    if step not in task.steps:
        return work.done(Outcome.NO_STEP)
    if task.steps[step].state != StepState.AWAITING_APPROVAL:
        return work.done(Outcome.RESOLVED if task.steps[step].decision == decision else Outcome.NOT_WAITING)
    work.edit(step, decision=decision)
    work.note(EventKind.APPROVAL_RESOLVED, step)
    if decision == REJECT:
        work.edit(step, state=StepState.FAILED)
        work.fail_task(step)
    else:
        work.make_ready([step])
    return work.done(Outcome.RESOLVED)


def retry(task: TaskModel, *, request_id: str) -> Change:
    """Takes up a failed task: what completed is kept, everything else is done again."""
    work = Work(task)
    if request_id and task.retried_by == request_id:
        return work.done(Outcome.RETRIED)
    if task.state != TaskState.FAILED:
        return work.done(Outcome.NOT_FAILED)
    work.set_state(TaskState.RUNNING)
    work.task = replace(work.task, retried_by=request_id, parked=(), result="")
    again = [step for step in task.order if task.steps[step].state != StepState.COMPLETED]
    for step in again:
        work.take_up(step)
    work.note(EventKind.TASK_RETRIED)
    work.make_ready([step for step in again if work.task.waiting_for(step) == 0])
    return work.done(Outcome.RETRIED)


def holds(task: TaskModel, step: str, attempt: int) -> bool:
    """Whether an attempt still holds its step: the fence that every report of a worker passes."""
    found = task.steps.get(step)
    return found is not None and found.state == StepState.RUNNING and found.attempt == attempt
