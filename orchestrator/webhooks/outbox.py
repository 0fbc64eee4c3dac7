"""The outbox in Redis: notifications stand in their task's partition, written by the transition that ends the task."""

import asyncio
from collections.abc import Sequence
from typing import Any

from troupe.api.orchestrator.v1.task_pb2 import Task
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.records import task_message
from troupe.orchestrator.store.schema import Notification, read
from troupe.orchestrator.store.tasks import TaskStore
from troupe.orchestrator.store.transitions import Transitions
from troupe.orchestrator.webhooks.sender import Pending


class RedisOutbox:
    """The notifications that were not delivered yet."""

    def __init__(self, *, tasks: TaskStore, partitions: Partitions, transitions: Transitions) -> None:
        self._tasks = tasks
        self._partitions = partitions
        self._transitions = transitions

    async def claim(self, *, limit: int, hold_ms: int) -> Sequence[Pending]:
        """Due notifications of any partition, leased to the caller."""
        each = max(1, limit // self._partitions.count)
        replies = await asyncio.gather(
            *(
                self._transitions.run(partition, "claim_webhooks", {"limit": each, "hold": hold_ms})
                for partition in self._partitions.all()
            )
        )
        rows = [read(Notification, row) for _, *rows in replies for row in rows]
        return [Pending(row.task, row.url, row.attempt, row.name) for row in rows]

    async def load(self, pending: Pending) -> Task:
        """The task, with its output and its error."""
        return task_message(await self._tasks.get(pending.task_id), whole=True)

    async def postpone(self, pending: Pending, *, delay_ms: int) -> None:
        """Due again after the delay, as the same attempt."""
        await self._settle(pending, {"delay": delay_ms, "attempt": pending.attempt - 1})

    async def delivered(self, pending: Pending, *, status: int) -> None:
        """Done."""
        await self._settle(pending, {})

    async def failed(self, pending: Pending, *, problem: str, retry_ms: int | None) -> None:
        """Due again after the delay as the next attempt; None: given up."""
        await self._settle(pending, {} if retry_ms is None else {"delay": retry_ms, "attempt": pending.attempt})

    async def _settle(self, pending: Pending, arguments: dict[str, Any]) -> None:
        partition = self._partitions.of_task(pending.task_id)
        assert partition is not None
        named = {"task": pending.task_id, "id": pending.notification_id, **arguments}
        await self._transitions.run(partition, "settle_webhook", named)
