"""Where tasks and steps stand, and every way from one state to another.

Names and numbers are the contract's (`TaskState` and `StepState` in `task.proto`).
"""

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
    def is_final(self) -> bool:
        """Whether the task is over. A failed one can be taken up again by a person."""
        return self in FINAL_TASK_STATES


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
    def is_final(self) -> bool:
        """Whether the step is over; only a retry of its task takes up one that did not complete."""
        return self in FINAL_STEP_STATES


FINAL_TASK_STATES: Final = frozenset((TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED))
FINAL_STEP_STATES: Final = frozenset((StepState.COMPLETED, StepState.FAILED, StepState.CANCELLED, StepState.SKIPPED))

TASK_TRANSITIONS: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    TaskState.SUBMITTED: frozenset((TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED)),
    TaskState.RUNNING: frozenset((TaskState.CANCELLING, TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)),
    TaskState.CANCELLING: frozenset((TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset((TaskState.RUNNING,)),
    TaskState.CANCELLED: frozenset(),
}
"""What each is caused by:

- to RUNNING: the first attempt of a step begins; from FAILED: the task is retried.
- to CANCELLING: it is cancelled after its running steps, and there are some.
- to COMPLETED: its last step completes; of a task that is being cancelled, too.
- to FAILED: a step fails for good, its worker died too often, its approval is refused; the deadline passes, the budget
  is spent.
- to CANCELLED: it is cancelled at once or while no step runs; the last running step of a cancelling task ends.
"""

_ENDED_WITH_TASK: Final = StepState.SKIPPED
_TAKEN_UP: Final = frozenset((StepState.PENDING, StepState.DELEGATING))

STEP_TRANSITIONS: Final[Mapping[StepState, frozenset[StepState]]] = {
    StepState.PENDING: frozenset((StepState.READY, StepState.AWAITING_APPROVAL, _ENDED_WITH_TASK)),
    StepState.READY: frozenset((StepState.RUNNING, _ENDED_WITH_TASK)),
    StepState.RUNNING: frozenset(
        (
            StepState.PENDING,
            StepState.RETRYING,
            StepState.DELEGATING,
            StepState.COMPLETED,
            StepState.FAILED,
            StepState.CANCELLED,
        )
    ),
    StepState.RETRYING: frozenset((StepState.READY, _ENDED_WITH_TASK)),
    StepState.DELEGATING: frozenset((StepState.READY, _ENDED_WITH_TASK)),
    StepState.AWAITING_APPROVAL: frozenset((StepState.READY, StepState.FAILED, _ENDED_WITH_TASK)),
    StepState.COMPLETED: frozenset(),
    StepState.FAILED: _TAKEN_UP,
    StepState.CANCELLED: _TAKEN_UP,
    StepState.SKIPPED: _TAKEN_UP,
}
"""What each is caused by:

- to READY: what it waited for is there: its dependencies, its delegated steps, the delay of its retry, a person's
  approval. A step that is ready and waits for a share of the budget stays READY.
- to AWAITING_APPROVAL: its dependencies are there, and a person must approve it first.
- to RUNNING: a worker begins the next attempt.
- to PENDING: the attempt was handed back or its lease expired, so the step is made ready again; or the task is retried.
- to RETRYING: the attempt failed, another follows after a delay.
- to DELEGATING: the attempt added steps; or the task is retried before those had completed.
- to COMPLETED: the attempt's output is recorded.
- to FAILED: the attempt failed for good, its lease expired too often, or a person refused the step.
- to CANCELLED: the task ended while the attempt ran, or the attempt was lost or handed back while the task was being
  cancelled.
- to SKIPPED: the task ended, or is being cancelled, while the step did not run.
"""
