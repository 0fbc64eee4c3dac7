"""Limits per host: a host whose calls take long keeps no more than its own few places busy."""

from dataclasses import dataclass
from typing import Final

_SMOOTHING: Final = 0.3
_FIRST_GUESS_SECONDS: Final = 0.1
_SHORTEST_WAIT_SECONDS: Final = 0.02
_LONGEST_WAIT_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Lane:
    running: int = 0
    mean_seconds: float = _FIRST_GUESS_SECONDS
    free_at: float = 0.0


class Lanes:
    """Counts calls by host. Times are seconds of any clock that only goes forward."""

    def __init__(self, *, places: int) -> None:
        self._places = places
        self._lanes: dict[str, _Lane] = {}

    def enter(self, host: str, *, now: float) -> float | None:
        """Takes a place, or says how many seconds to wait before asking again.

        Those that are sent away are spread out by how long calls of the host take, as in a queue that nobody holds.
        """
        lane = self._lanes.setdefault(host, _Lane())
        if lane.running < self._places:
            lane.running += 1
            return None
        share = lane.mean_seconds / self._places
        lane.free_at = min(max(lane.free_at, now) + share, now + _LONGEST_WAIT_SECONDS)
        return max(lane.free_at - now, _SHORTEST_WAIT_SECONDS)

    def leave(self, host: str, *, took_seconds: float) -> None:
        """Gives the place back. A host without calls is forgotten."""
        lane = self._lanes[host]
        lane.running -= 1
        lane.mean_seconds += _SMOOTHING * (took_seconds - lane.mean_seconds)
        if not lane.running:
            del self._lanes[host]
