"""What the benchmark asks of a peer."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol


class UnavailableError(Exception):
    """A peer cannot be installed or started here; the message says why in one line."""


class Peer(Protocol):
    """Another system that runs the chain."""

    @property
    def name(self) -> str:
        """What `--only` calls it."""

    @property
    def label(self) -> str:
        """The text of its row, which says its settings."""

    def running(self, redis_url: str, folder: Path) -> AbstractAsyncContextManager[None]:
        """Installs it below `folder`, once, and keeps its processes up; those on Redis use a database of their own.

        Raises:
            UnavailableError: it cannot be installed or started here.
        """

    async def latencies(self, count: int) -> list[float]:
        """Milliseconds of each chain, one after the other, from its submission to its result at the submitter."""

    async def throughput(self, count: int, concurrency: int) -> float:
        """Chains a second, from the first submission to the last result, after a warm-up."""
