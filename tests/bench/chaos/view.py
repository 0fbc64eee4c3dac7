"""What a watcher has seen of a task, over all its streams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.client import is_terminal

Complain = Callable[[str], None]


@dataclass
class View:
    """Events in the order in which they came."""

    task_id: str
    door: str
    complain: Complain
    events: list[TaskEvent] = field(default_factory=list)
    streams: int = 0
    ends: int = 0
    """How many terminal events have come."""
    goal: int = 1
    """How many are waited for."""

    @property
    def cursor(self) -> int:
        """The newest sequence."""
        return self.events[-1].sequence if self.events else 0

    @property
    def ended(self) -> bool:
        """Whether the terminal event has come."""
        return bool(self.events) and is_terminal(self.events[-1])

    @property
    def done(self) -> bool:
        """Whether the terminal event that is waited for has come, and nothing behind it."""
        return self.ended and self.ends >= self.goal

    def take(self, events: Sequence[TaskEvent]) -> None:
        """Takes a message. A stream owes the events behind its cursor, each once, in order."""
        if not events:
            self.complain(f"{self}: a message without events")
        for event in events:
            if event.HasField("checkpoint"):
                if event.sequence or event.checkpoint.last_sequence != self.cursor:
                    self.complain(f"{self}: checkpoint {event.checkpoint.last_sequence} after event {self.cursor}")
                continue
            if event.sequence != self.cursor + 1:
                self.complain(f"{self}: event {event.sequence} after {self.cursor}")
            if self.ended and not event.HasField("task_retried"):
                self.complain(f"{self}: event {event.sequence} after the terminal one")
            if event.task_id != self.task_id:
                self.complain(f"{self}: an event of task {event.task_id}")
            self.events.append(event)
            self.ends += is_terminal(event)

    def __str__(self) -> str:
        return f"watcher of {self.task_id} by {self.door}, stream {self.streams}"
