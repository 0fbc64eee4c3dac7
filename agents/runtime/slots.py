"""How many steps of an agent run at once, and how many wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError

_RETRY: Final = timedelta(seconds=1)


class Slots:
    """Lets `limit` steps run, `max_waiting` wait, and refuses the rest."""

    def __init__(self, *, agent: str, limit: int, max_waiting: int) -> None:
        self._agent = agent
        self._limit = limit
        self._max_waiting = max_waiting
        self._free = asyncio.Semaphore(limit)
        self._waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds a place inside the block; raises QUOTA_EXCEEDED when too many wait already."""
        if self._free.locked() and self._waiting >= self._max_waiting:
            raise self._full()
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    def _full(self) -> TroupeError:
        return TroupeError(
            ErrorReason.ERROR_REASON_QUOTA_EXCEEDED,
            f"agent `{self._agent}` runs {self._limit} steps and {self._waiting} wait; come back, start another"
            " server of it, or raise `agents.execution.max_waiting`",
            metadata={"subject": self._agent},
            retry_delay=_RETRY,
        )
