"""Bounds on what runs at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError

_RETRY: Final = timedelta(milliseconds=500)


class Concurrency:
    """Refuses what is too much instead of queueing it."""

    def __init__(self, *, subject: str, limit: int) -> None:
        """`subject` names what is counted, in the plural, and `limit` its setting's value."""
        self._subject = subject
        self._limit = limit
        self._running = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Holds a place inside the block; raises QUOTA_EXCEEDED when there is none."""
        if self._running >= self._limit:
            raise TroupeError(
                ErrorReason.ERROR_REASON_QUOTA_EXCEEDED,
                f"{self._limit} {self._subject} run at the same time already; come back, or raise"
                f" `inference.limits.concurrent_{self._subject}`",
                metadata={"subject": self._subject},
                retry_delay=_RETRY,
            )
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
