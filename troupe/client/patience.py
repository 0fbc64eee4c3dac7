"""How long and how often a cut stream is opened again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from troupe.core.backoff import Backoff

_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Bounds in seconds: until the first event, between two events, and of silence on an open stream."""

    connect_seconds: float = 2
    reconnect_seconds: float = 60
    silence_seconds: float = 60


class Retries:
    """Waits between attempts: full jitter under a doubling bound; an event that arrives starts anew."""

    def __init__(
        self,
        patience: Patience,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._draw = draw
        self._backoff = Backoff(first_seconds=_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
        self._give_up_at = clock() + patience.connect_seconds

    def progressed(self) -> None:
        """Something arrived."""
        self._backoff.restart()
        self._give_up_at = self._clock() + self._patience.reconnect_seconds

    def next_delay_seconds(self, *, at_least: float = 0) -> float | None:
        """How long to wait before the next attempt; None when patience is at its end."""
        delay = max(at_least, self._draw(0, self._backoff.next_seconds()))
        return delay if self._clock() + delay <= self._give_up_at else None
