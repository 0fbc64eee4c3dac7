"""What a supervisor tells while it works."""

from collections.abc import Sequence
from typing import Protocol

from troupe.local.program import Program


class Reporter(Protocol):
    """Whoever watches a stack: a screen, a test."""

    def note(self, message: str) -> None:
        """Something that the person should know."""
        ...

    def starting(self, program: Program) -> None:
        """A process is being started, for the first time or again."""
        ...

    def ready(self, program: Program, seconds: float) -> None:
        """It answers its health check for the first time since it was started."""
        ...

    def died(self, program: Program, why: str, restart_seconds: float, log_tail: Sequence[str]) -> None:
        """It ended by itself and is started again after a wait."""
        ...

    def stopped(self, program: Program) -> None:
        """It has been stopped."""
        ...

    def line(self, name: str, text: str) -> None:
        """A line of its output."""
        ...
