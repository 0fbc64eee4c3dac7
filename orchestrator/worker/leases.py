"""The leases of this worker: renewed together, and given up when the store says that an attempt counts no more."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.store.attempts import Attempt, AttemptStore
from orchestrator.store.partitions import Partitions
from orchestrator.store.resp import RedisClient
from orchestrator.store.tail import tail
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger


class AttemptLostError(Exception):
    """The attempt counts no more: its lease ran out, or its task has ended."""


@dataclass(eq=False)
class _Holder:
    attempt: Attempt
    task: asyncio.Task[Any]
    lost: bool = False


class Leases:
    """The attempts that run in this process."""

    def __init__(
        self, *, store: AttemptStore, redis: RedisClient, partitions: Partitions, lease_seconds: float
    ) -> None:
        self._store = store
        self._redis = redis
        self._partitions = partitions
        self._interval_seconds = lease_seconds / 3
        self._holders: set[_Holder] = set()

    @property
    def messages(self) -> frozenset[str]:
        """The messages whose attempts run here."""
        return frozenset(holder.attempt.message_id for holder in self._holders)

    @asynccontextmanager
    async def held(self, attempt: Attempt) -> AsyncIterator[None]:
        """Keeps the lease inside the block.

        Raises:
            AttemptLostError: the attempt counts no more; the block was cancelled.
        """
        task = asyncio.current_task()
        assert task is not None
        holder = _Holder(attempt, task)
        self._holders.add(holder)
        try:
            yield
        except asyncio.CancelledError:
            if holder.lost and task.uncancel() == 0:
                raise AttemptLostError from None
            raise
        finally:
            self._holders.discard(holder)

    async def renew(self) -> None:
        """Renews all leases, again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self._check(self._holders)

    async def listen(self) -> None:
        """Looks at once at the attempts of tasks that end, until it is cancelled."""
        while True:
            try:
                async for entries in tail(self._redis, self._partitions, "control"):
                    ended = {fields[b"t"].decode() for fields in entries}
                    await self._check(holder for holder in self._holders if holder.attempt.task_id in ended)
            except TroupeError:
                await asyncio.sleep(self._interval_seconds)

    async def _check(self, holders: Iterable[_Holder]) -> None:
        async with asyncio.TaskGroup() as group:
            for holder in list(holders):
                group.create_task(self._check_one(holder))

    async def _check_one(self, holder: _Holder) -> None:
        try:
            kept = await self._store.renew(holder.attempt)
        except TroupeError as error:
            get_logger().warning("lease not renewed", problem=error.message)
            return
        if not kept and holder in self._holders and not holder.lost:
            holder.lost = True
            holder.task.cancel()
