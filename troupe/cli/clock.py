"""The server's clock, seen from here."""

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent


class ServerClock:
    """Estimates what the server's clock shows: the shortest way of an event tells how far the clocks are apart."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def observe(self, event: TaskEvent, received_at: float) -> None:
        """Takes in an event that arrived at `received_at`, in seconds of our clock."""
        offset = received_at - event.event_time.ToNanoseconds() / 1e9
        self._offset = offset if self._offset is None else min(self._offset, offset)

    def at(self, now: float) -> float:
        """What the server's clock shows when ours shows `now`."""
        return now - (self._offset or 0.0)
