"""What the metrics of all processes share. Their registry is that of prometheus_client."""

from importlib.metadata import version
from typing import Final

from prometheus_client import Gauge, disable_created_metrics

OTHER: Final = "other"

# They double the series, and counters that start again are recognised without them.
disable_created_metrics()  # type: ignore[no-untyped-call] # of prometheus_client

VERSION: Final = version("troupe")
Gauge("troupe_build_info", "Always 1; the label says what runs.", ["version"]).labels(VERSION).set(1)


class Labels:
    """Bounds the values of a label: the first `limit` stand for themselves, all later ones are `other`."""

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        self._known: set[str] = set()

    def bound(self, value: str) -> str:
        """The value to label with."""
        if value in self._known:
            return value
        if len(self._known) >= self.limit:
            return OTHER
        self._known.add(value)
        return value
