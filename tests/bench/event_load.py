"""Appends events to running tasks at a rate, as a worker does: by the script's `report`.

    python -m tests.bench.event_load REDIS_URL FILE_OF_TASKS EVENTS_PER_SECOND SECONDS

The attempts are those that a worker has started. It prints a line when it begins. With 0 events a second it appends
10,000 events to each task, as fast as it can.
"""

import asyncio
import sys
import time

import uvloop

from troupe.api.orchestrator.v1.event_pb2 import StepProgress, TaskEvent
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.attempts import Attempt, AttemptStore
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.transitions import Transitions

PARTITIONS = 8
BULK_EVENTS = 10_000
_BATCH = 500
_PADDING = "." * 120


class Load:
    """The events of some attempts."""

    def __init__(self, store: AttemptStore, partitions: Partitions, task_ids: list[str]) -> None:
        self._store = store
        self._attempts = [Attempt(task_id, "s", "still", 1, partitions.of_task(task_id) or 0) for task_id in task_ids]
        self._reported = dict.fromkeys(task_ids, 0)

    async def at_rate(self, per_second: float, seconds: float) -> None:
        """Appends single events, evenly, in turns."""
        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while (elapsed := time.monotonic() - began) < seconds:
                while number < elapsed * per_second:
                    group.create_task(self._append(self._attempts[number % len(self._attempts)], 1))
                    number += 1
                await asyncio.sleep(max(0.001, began + number / per_second - time.monotonic()))

    async def in_bulk(self) -> None:
        """Appends the same to each task."""
        for attempt in self._attempts:
            for _ in range(BULK_EVENTS // _BATCH):
                await self._append(attempt, _BATCH)

    async def _append(self, attempt: Attempt, count: int) -> None:
        progress = StepProgress(step_id="s", attempt=1, message=f"~{time.monotonic_ns()};{_PADDING}")
        event = TaskEvent(task_id=attempt.task_id, step_progress=progress).SerializeToString()
        first = self._reported[attempt.task_id]
        self._reported[attempt.task_id] += count
        if not await self._store.report(attempt, first=first, events=[event] * count, usage={}):
            raise AssertionError(f"the attempt of {attempt.task_id} counts no more")


async def main(redis_url: str, tasks: str, per_second: float, seconds: float) -> None:
    """Appends and ends."""
    with open(tasks, encoding="ascii") as lines:  # noqa: ASYNC230, PTH123 - before the clock starts
        task_ids = lines.read().split()
    redis, partitions = RedisClient(redis_url), Partitions(PARTITIONS)
    async with Transitions(redis=redis, partitions=partitions) as transitions:
        store = AttemptStore(
            redis=redis,
            partitions=partitions,
            transitions=transitions,
            worker_id="load",
            lease_ms=60_000,
            prices={},
            default_price=0,
        )
        load = Load(store, partitions, task_ids)
        print("begun", flush=True)
        await (load.at_rate(per_second, seconds) if per_second else load.in_bulk())
    await redis.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
