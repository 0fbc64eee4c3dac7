"""The leases of this worker: renewed together, and given up when the store says that an attempt counts no more."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.attempts import Attempt, AttemptStore
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key
from troupe.orchestrator.store.tail import tail


class AttemptLostError(Exception):
    """The attempt counts no more: its lease ran out, or its task has ended."""


@dataclass(eq=False, slots=True)
class Holder:
    """The asyncio task that runs an attempt."""

    attempt: Attempt
    task: asyncio.Task[Any]
    among: "set[Holder]"
    lost: bool = False

    def __enter__(self) -> "Holder":
        self.among.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.among.discard(self)
        if self.lost and kind is not None and issubclass(kind, asyncio.CancelledError):
            # Whatever `uncancel` leaves: a task group of Python 3.11 that ended with an error counts one too many.
            self.task.uncancel()
            raise AttemptLostError from None

    def lose(self) -> None:
        """The attempt counts no more: what runs it is cancelled."""
        if not self.lost:
            self.lost = True
            self.task.cancel()


class Leases:
    """The attempts that run in this process."""

    def __init__(
        self, *, store: AttemptStore, redis: RedisClient, partitions: Partitions, lease_seconds: float
    ) -> None:
        self._store = store
        self._redis = redis
        self._partitions = partitions
        self._interval_seconds = lease_seconds / 3
        self._holders: set[Holder] = set()

    def hold(self, attempt: Attempt) -> "Holder":
        """Keeps the lease inside the block, which must be in one asyncio task.

        Raises:
            AttemptLostError: the attempt counts no more; the block was cancelled.
        """
        task = asyncio.current_task()
        assert task is not None
        return Holder(attempt, task, self._holders)

    async def renew(self) -> None:
        """Renews all leases, again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self._check(self._holders)

    async def listen(self) -> None:
        """Looks at once at the attempts of tasks that end, until it is cancelled."""
        while True:
            try:
                async for entries in tail(self._redis, self._partitions, Key.CONTROL):
                    ended = {fields[b"t"].decode() for fields in entries}
                    await self._check(holder for holder in self._holders if holder.attempt.task_id in ended)
            except TroupeError:
                await asyncio.sleep(self._interval_seconds)

    async def _check(self, holders: Iterable[Holder]) -> None:
        by_partition: dict[int, dict[Attempt, Holder]] = defaultdict(dict)
        for holder in holders:
            by_partition[holder.attempt.partition][holder.attempt] = holder
        async with asyncio.TaskGroup() as group:
            for partition, held in by_partition.items():
                group.create_task(self._renew(partition, held))

    async def _renew(self, partition: int, held: dict[Attempt, Holder]) -> None:
        try:
            lost = await self._store.renew(partition, list(held))
        except TroupeError as error:
            get_logger().warning("leases not renewed", partition=partition, problem=error.message)
            return
        for attempt in lost:
            if held[attempt] in self._holders:
                held[attempt].lose()
