"""The states of tasks and steps and the transitions that are legal. The numbers are those of the contract."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class TaskState(IntEnum):
    """Where a task stands."""

    SUBMITTED = 1
    RUNNING = 2
    CANCELLING = 3
    COMPLETED = 4
    FAILED = 5
    CANCELLED = 6

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self >= TaskState.COMPLETED


class StepState(IntEnum):
    """Where a step stands."""

    PENDING = 1
    READY = 2
    RUNNING = 3
    RETRYING = 4
    DELEGATING = 5
    AWAITING_APPROVAL = 6
    COMPLETED = 7
    FAILED = 8
    CANCELLED = 9
    SKIPPED = 10

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self >= StepState.COMPLETED


_ENDED: Final = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})

TASK_TRANSITIONS: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    TaskState.SUBMITTED: frozenset({TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.RUNNING: frozenset({TaskState.CANCELLING}) | _ENDED,
    TaskState.CANCELLING: _ENDED,
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}

STEP_TRANSITIONS: Final[Mapping[StepState, frozenset[StepState]]] = {
    StepState.PENDING: frozenset({StepState.READY, StepState.SKIPPED}),
    StepState.READY: frozenset({StepState.RUNNING, StepState.SKIPPED}),
    StepState.RUNNING: frozenset(
        {StepState.COMPLETED, StepState.FAILED, StepState.RETRYING, StepState.READY, StepState.CANCELLED}
    ),
    StepState.RETRYING: frozenset({StepState.READY, StepState.SKIPPED}),
    StepState.DELEGATING: frozenset({StepState.READY, StepState.SKIPPED}),
    StepState.AWAITING_APPROVAL: frozenset({StepState.READY, StepState.FAILED, StepState.SKIPPED}),
    StepState.COMPLETED: frozenset(),
    StepState.FAILED: frozenset(),
    StepState.CANCELLED: frozenset(),
    StepState.SKIPPED: frozenset(),
}
