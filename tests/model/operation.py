"""An operation of the state machine under way: the rules that several operations share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.model.model import (
    NOTHING,
    Amount,
    Begun,
    Change,
    Event,
    EventKind,
    Offered,
    Outcome,
    PlannedStep,
    StepModel,
    TaskModel,
)
from tests.model.states import STEP_TRANSITIONS, TASK_TRANSITIONS, StepState, TaskState

APPROVE: Final = "approve"
REJECT: Final = "reject"

Rooms = Mapping[str, int]
"""How many more steps of an agent the caller can begin at once; only agents for which nothing waits are named."""


class IllegalTransitionError(AssertionError):
    """The machine itself is wrong: it took a way that the tables do not have."""


@dataclass(slots=True)
class Work:
    """An operation under way."""

    task: TaskModel
    rooms: dict[str, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)
    offered: list[Offered] = field(default_factory=list)
    retries: list[tuple[str, int]] = field(default_factory=list)

    def done(self, outcome: Outcome) -> Change:
        """What it did."""
        ends = self.task.state.is_final
        return Change(
            self.task,
            outcome,
            tuple(self.events),
            tuple(self.begun),
            () if ends else tuple(self.offered),
            tuple(self.retries),
        )

    @property
    def is_cancelling(self) -> bool:
        """Whether the task waits for its running steps to end."""
        return self.task.state == TaskState.CANCELLING

    def note(self, kind: EventKind, step: str = "", attempt: int = 0) -> None:
        """Appends an event."""
        self.events.append(Event(kind, step, attempt))

    def set_state(self, state: TaskState) -> None:
        """Moves the task."""
        if state not in TASK_TRANSITIONS[self.task.state]:
            raise IllegalTransitionError(f"task: {self.task.state.name} to {state.name}")
        self.task = replace(self.task, state=state)

    def edit(self, step: str, **changes: Any) -> None:
        """Changes a step."""
        before = self.task.steps[step]
        after = replace(before, **changes)
        if after.state not in STEP_TRANSITIONS[before.state] | {before.state}:
            raise IllegalTransitionError(f"`{step}`: {before.state.name} to {after.state.name}")
        self.task = replace(self.task, steps={**self.task.steps, step: after})

    def add_steps(self, parent: str, plan: Sequence[PlannedStep], depth: int) -> None:
        """Puts delegated steps before the one that delegated them."""
        added = {new.step_id: StepModel(new, parent, depth) for new in plan}
        place = self.task.order.index(parent)
        order = (*self.task.order[:place], *added, *self.task.order[place:])
        self.task = replace(self.task, steps={**self.task.steps, **added}, order=order)
        self.edit(parent, delegated=(*self.task.steps[parent].delegated, *added))

    def take_up(self, step: str) -> None:
        """Lets a step that did not complete be done again."""
        before = self.task.steps[step]
        waits = any(self.task.steps[other].state != StepState.COMPLETED for other in before.delegated)
        self.edit(
            step,
            state=StepState.DELEGATING if waits else StepState.PENDING,
            failures=0,
            lost=0,
            decision="" if before.decision == REJECT else before.decision,
        )

    def make_ready(self, steps: Sequence[str]) -> None:
        """Steps wait for nothing more: they are begun by the caller, queued for others, or put before a person."""
        waiting = [step for step in steps if self._waits_for_a_person(step)]
        self.task = replace(self.task, parked=tuple(other for other in self.task.parked if other not in steps))
        for step in steps:
            if step not in waiting:  # all of them share the budget, so all are ready before one begins
                self.edit(step, state=StepState.READY)
        for step in steps:
            if self.task.state.is_final:  # its budget is spent
                return
            if step in waiting:
                self.edit(step, state=StepState.AWAITING_APPROVAL)
                self.note(EventKind.APPROVAL_REQUESTED, step)
            else:
                self._begin_or_offer(step)

    def _waits_for_a_person(self, step: str) -> bool:
        current = self.task.steps[step]
        return current.planned.needs_approval and not current.decision

    def _begin_or_offer(self, step: str) -> None:
        current = self.task.steps[step]
        agent = current.planned.agent
        if self.rooms.get(agent, 0) > 0:
            self.rooms[agent] -= self.begin(step)
        else:
            self.offered.append(Offered(agent, step, current.attempt + 1))

    def begin(self, step: str) -> bool:
        """Begins the next attempt of a ready step, unless its budget does not allow it now."""
        held = self._hold(step)
        if held is None:
            return False
        attempt = self.task.steps[step].attempt + 1
        self.edit(step, state=StepState.RUNNING, attempt=attempt, reported=0, held=held)
        if self.task.state == TaskState.SUBMITTED:
            self.set_state(TaskState.RUNNING)
        self.note(EventKind.STEP_STARTED, step, attempt)
        self.begun.append(Begun(step, attempt, held))
        return True

    def close_attempt(self, step: str, state: StepState) -> list[str]:
        """Ends an attempt, and gives back what it held; returns the steps that waited for that."""
        self.edit(step, state=state, held=NOTHING)
        return [other for other in self.task.parked if self.task.steps[other].state == StepState.READY]

    def put_back(self, step: str) -> None:
        """Makes a step ready again whose attempt ended without a word of its agent."""
        if self.is_cancelling:
            self.close_attempt(step, StepState.CANCELLED)
            self.end_cancelling()
        else:
            ready = self.close_attempt(step, StepState.PENDING)
            self.make_ready([*ready, step])

    def fail_task(self, step: str) -> None:
        """Ends the task because of a step, or of none."""
        self.end(TaskState.FAILED, Event(EventKind.TASK_FAILED, step))

    def cancel_task(self) -> None:
        """Ends the task because somebody wanted it."""
        self.end(TaskState.CANCELLED, Event(EventKind.TASK_CANCELLED))

    def end_cancelling(self) -> None:
        """A step of a task that is being cancelled has ended: the last one ends the task."""
        if self.task.running == 0:
            self.cancel_task()

    def end(self, state: TaskState, event: Event) -> None:
        """Ends the task and its steps; what they held is free."""
        self.set_state(state)
        for step, current in self.task.steps.items():
            if current.state == StepState.RUNNING:
                self.edit(step, state=StepState.CANCELLED, held=NOTHING)
            elif not current.state.is_final:
                self.edit(step, state=StepState.SKIPPED)
        self.task = replace(self.task, parked=(), result=_result(self.task))
        self.events.append(event)

    def _hold(self, step: str) -> Amount | None:
        """Holds an even share of what is left for an attempt. None: it waits for others', or its task has ended."""
        task = self.task
        tokens = _share(task.budget.tokens, task.used.tokens + task.held.tokens, task.ready)
        cost = _share(task.budget.cost_usd_micros, task.used.cost_usd_micros + task.held.cost_usd_micros, task.ready)
        if tokens is not None and cost is not None:
            return Amount(tokens, cost)
        if task.held:
            self.task = replace(task, parked=(*task.parked, step))
        else:
            self.fail_task(step)
        return None


def _share(bound: int, taken: int, among: int) -> int | None:
    """An even share of what is left of a bound. 0: there is no bound; None: nothing is left."""
    if bound == 0:
        return 0
    left = bound - taken
    return -(-left // max(1, among)) if left > 0 else None


def _result(task: TaskModel) -> str:
    """The step whose output is the task's: the last that completed; of a whole task, the last that none waits for."""
    completed = reversed(task.in_state(StepState.COMPLETED))
    if task.state == TaskState.COMPLETED:
        completed = (step for step in completed if not task.waiting_on(step))
    return "" if task.state == TaskState.CANCELLED else next(iter(completed), "")
