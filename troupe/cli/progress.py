"""Who shows a task while it runs."""

from typing import Protocol

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.cli.view import TaskView


class Progress(Protocol):
    """A screen, a pipe or a program that reads JSON."""

    def show(self, event: TaskEvent, view: TaskView) -> None:
        """An event has arrived; `view` is the task after it."""
        ...

    def say(self, message: str) -> None:
        """Something that is no event."""
        ...

    def close(self) -> None:
        """No event follows: the display lets go of the screen."""
        ...

    def result(self, view: TaskView) -> None:
        """Shows what the task ended with."""
        ...
