"""Tasks and steps as values: what the state machine works on.

What can be told from the steps is told from them (`running`, `open`, what is held and used), so that the model checks
the script's counters instead of repeating them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.model.states import StepState, TaskState


class Outcome(StrEnum):
    """What came of an operation; the first item of the script's answer."""

    CREATED = "created"
    RECORDED = "recorded"
    LOST = "lost"
    """The attempt counts no more: nothing changed."""
    REFUSED = "refused"
    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    ENDED = "ended"
    RESOLVED = "resolved"
    NOT_WAITING = "not_waiting"
    NO_STEP = "no_step"
    RETRIED = "retried"
    NOT_FAILED = "not_failed"
    NOTHING = "nothing"
    """What was to be begun or set off is no longer due."""


class EventKind(StrEnum):
    """The events that operations append; named as in `TaskEvent`."""

    TASK_SUBMITTED = "task_submitted"
    TASK_PLANNED = "task_planned"
    STEP_STARTED = "step_started"
    USAGE_REPORTED = "usage_reported"
    STEPS_ADDED = "steps_added"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_RESOLVED = "approval_resolved"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    TASK_COMPLETED = "task_completed"
    TASK_FAILED = "task_failed"
    TASK_CANCELLED = "task_cancelled"
    TASK_RETRIED = "task_retried"


TERMINAL_EVENTS = frozenset((EventKind.TASK_COMPLETED, EventKind.TASK_FAILED, EventKind.TASK_CANCELLED))


@dataclass(frozen=True, slots=True)
class Event:
    """An event as far as the machine decides it. `step` and `attempt` are empty where the event has none."""

    kind: EventKind
    step: str = ""
    attempt: int = 0
    will_retry: bool = False


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and money. As a bound, 0 means none."""

    tokens: int = 0
    cost_usd_micros: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.tokens + other.tokens, self.cost_usd_micros + other.cost_usd_micros)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.tokens - other.tokens, self.cost_usd_micros - other.cost_usd_micros)

    def __bool__(self) -> bool:
        return self != NOTHING

    def least(self, other: "Amount") -> "Amount":
        """The smaller of each."""
        return Amount(min(self.tokens, other.tokens), min(self.cost_usd_micros, other.cost_usd_micros))

    def exceeds(self, bound: "Amount") -> bool:
        """Whether any bound is passed."""
        return 0 < bound.tokens < self.tokens or 0 < bound.cost_usd_micros < self.cost_usd_micros


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step as a plan or a delegation has it."""

    step_id: str
    agent: str
    depends_on: tuple[str, ...] = ()
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class StepModel:
    """A step. `attempt` is the number of the newest attempt: the fence."""

    planned: PlannedStep
    parent: str = ""
    """The step that delegated it."""
    depth: int = 0
    state: StepState = StepState.PENDING
    attempt: int = 0
    reported: int = 0
    """Events that the newest attempt reported."""
    failures: int = 0
    lost: int = 0
    """Leases that expired."""
    used: Amount = NOTHING
    held: Amount = NOTHING
    """What its attempt may still use."""
    decision: str = ""
    delegated: tuple[str, ...] = ()

    @property
    def waits_for(self) -> Sequence[str]:
        """The steps that must complete first, or before it is executed again."""
        return (*self.planned.depends_on, *self.delegated)


@dataclass(frozen=True, slots=True)
class TaskModel:
    """A task. `order` has its steps so that delegated ones stand before the step that delegated them."""

    task_id: str
    budget: Amount = NOTHING
    state: TaskState = TaskState.SUBMITTED
    order: tuple[str, ...] = ()
    steps: Mapping[str, StepModel] = field(default_factory=dict)
    parked: tuple[str, ...] = ()
    """Ready steps that wait for a share of the budget, in no queue."""
    retried_by: str = ""
    result: str = ""
    """The step whose output is the task's."""

    def in_state(self, *states: StepState) -> list[str]:
        """The steps in any of some states, in order."""
        return [step for step in self.order if self.steps[step].state in states]

    @property
    def running(self) -> int:
        """Attempts under way."""
        return len(self.in_state(StepState.RUNNING))

    @property
    def open(self) -> int:
        """Steps that have not completed."""
        return len(self.order) - len(self.in_state(StepState.COMPLETED))

    @property
    def ready(self) -> int:
        """Ready steps that share what is left of the budget."""
        return len(set(self.in_state(StepState.READY)) - set(self.parked))

    @property
    def used(self) -> Amount:
        """What all steps used."""
        return sum((step.used for step in self.steps.values()), NOTHING)

    @property
    def held(self) -> Amount:
        """What running attempts may still use."""
        return sum((step.held for step in self.steps.values()), NOTHING)

    def waiting_for(self, step: str) -> int:
        """How many of the steps that a step waits for have not completed."""
        return sum(self.steps[other].state != StepState.COMPLETED for other in self.steps[step].waits_for)

    def waiting_on(self, step: str) -> list[str]:
        """The steps that wait for one, in the order in which they were added; the one that delegated it comes last."""
        dependants = [other for other, each in self.steps.items() if step in each.planned.depends_on]
        parent = self.steps[step].parent
        return [*dependants, parent] if parent else dependants


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that was begun, and what is held for it."""

    step: str
    attempt: int
    held: Amount


@dataclass(frozen=True, slots=True)
class Offered:
    """A step that was put into its agent's queue, for an attempt."""

    agent: str
    step: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Change:
    """What an operation did."""

    task: TaskModel
    outcome: Outcome
    events: tuple[Event, ...] = ()
    begun: tuple[Begun, ...] = ()
    offered: tuple[Offered, ...] = ()
    retries: tuple[tuple[str, int], ...] = ()
    """Steps and attempts after which a delay was set."""
