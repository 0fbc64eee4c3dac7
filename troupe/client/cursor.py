"""How far a client has come in a task's history."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent

TERMINAL_EVENTS: Final = frozenset({"task_completed", "task_failed", "task_cancelled"})


def is_terminal(event: TaskEvent) -> bool:
    """Whether the task has ended with this event; a failed one may be taken up again (`task_retried`)."""
    return event.WhichOneof("event") in TERMINAL_EVENTS


class Place(Enum):
    """Where an event stands to a cursor."""

    NEXT = auto()
    SEEN = auto()
    BEYOND_GAP = auto()
    CHECKPOINT = auto()


@dataclass(frozen=True, slots=True)
class Cursor:
    """The newest event that was handed on, and when it was recorded, by which the server tells it from another.

    `task_id` is empty before the first one of a new task.
    """

    task_id: str = ""
    sequence: int = 0
    event_time: Timestamp | None = None

    def place(self, event: TaskEvent) -> Place:
        """Tells what to do with an event: only `NEXT` is handed on and moves the cursor."""
        if event.WhichOneof("event") == "checkpoint":
            return Place.CHECKPOINT
        if event.sequence <= self.sequence:
            return Place.SEEN
        return Place.NEXT if event.sequence == self.sequence + 1 else Place.BEYOND_GAP

    def after(self, event: TaskEvent) -> "Cursor":
        """The cursor once `event` has been handed on."""
        return Cursor(event.task_id, event.sequence, event.event_time)
