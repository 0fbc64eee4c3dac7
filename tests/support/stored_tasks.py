"""Tasks as they are stored, for tests that go past the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgpack

from troupe.api.orchestrator.v1.task_pb2 import Priority, TaskSpec, TaskState
from troupe.core.ids import new_id
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.new_step import NewStep
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import TaskBase, TaskRow
from troupe.orchestrator.store.tasks import NewTask, TaskStore
from troupe.orchestrator.store.transitions import Transitions

PARTITIONS: Final = Partitions(8)


def packed_task(state: "TaskState.ValueType", *, trimmed: int = 0) -> bytes:
    """The packed `task` field of a task of which only this matters."""
    packed: bytes = msgpack.packb(TaskRow(state=int(state), trimmed=trimmed))
    return packed


@asynccontextmanager
async def storing(url: str) -> AsyncIterator[TaskStore]:
    """A store of tasks in the Redis of an engine with settings as they come."""
    redis = RedisClient(url)
    try:
        async with Transitions(redis=redis, partitions=PARTITIONS) as transitions:
            yield TaskStore(redis=redis, partitions=PARTITIONS, transitions=transitions)
    finally:
        await redis.close()


def request_id_in(partition: int) -> str:
    """A new request id whose task lands in a partition."""
    return next(name for name in iter(new_id, "") if _lands(name) == partition)


def _lands(request_id: str) -> int | None:
    return PARTITIONS.of_task(PARTITIONS.new_task_id(request_id))


def new_task(project: str, spec: TaskSpec, *, partition: int) -> NewTask:
    """A task of any project, as a submission would store it."""
    request_id = request_id_in(partition)
    return NewTask(
        task_id=PARTITIONS.new_task_id(request_id),
        base=TaskBase(
            project=project, priority=Priority.PRIORITY_NORMAL, timeout=600_000, retention=60_000, keep=100_000
        ),
        request_id=request_id,
        request_ttl_ms=60_000,
        body_hash=b"body",
        spec=TaskSpec(input=spec.input).SerializeToString(),
        plan=spec.plan.SerializeToString(),
        steps=[NewStep.of(step) for step in spec.plan.steps],
        events=[],
    )
