"""What follows one task of a feed, against a real Redis."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.redis import Redis
from tests.support.stored_tasks import packed_task
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2 import WatchTaskResponse
from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.core.errors import TroupeError
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.history import History
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.watch.follow import EndFollow, WholeFollow
from troupe.orchestrator.watch.topic import Topic

PARTITIONS = Partitions(8)
NOWHERE = "redis://127.0.0.1:1"


class Asked:
    """Who reads when the test says so."""

    def queue_ready(self, follow: WholeFollow | EndFollow, size_bytes: int) -> None:
        pass

    def queue_read(self, follow: WholeFollow | EndFollow) -> None:
        pass


@pytest_asyncio.fixture
async def redis(redis_server: Redis) -> AsyncIterator[RedisClient]:
    client = RedisClient(redis_server.url)
    yield client
    await client.close()


async def test_a_place_that_could_not_be_checked_is_checked_later(redis: RedisClient) -> None:
    task_id = PARTITIONS.new_task_id("follow")
    key = f"{PARTITIONS.prefix(PARTITIONS.of_task(task_id) or 0)}:task:{task_id}"
    await redis.execute("HSET", key, "task", packed_task(TaskState.TASK_STATE_RUNNING))
    await redis.execute("RPUSH", f"{key}:log", *map(_frame, (1, 2)))
    follow = WholeFollow(Asked(), task_id, 0, unsubmitted=False)
    follow.topic = Topic(1 << 20)
    follow.topic.add(follow)
    history, unreachable = (History(client, PARTITIONS) for client in (redis, RedisClient(NOWHERE)))
    assert len(await follow.read(history)) == 1

    await redis.execute("LSET", f"{key}:log", 1, _frame(2, recorded=1))
    await redis.execute("RPUSH", f"{key}:log", _frame(3))
    follow.topic.reset()
    with pytest.raises(TroupeError) as away:
        await follow.read(unreachable)
    assert away.value.reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
    assert follow.must_read, "before what comes next is taken"
    with pytest.raises(TroupeError) as told:
        await follow.read(history)
    assert told.value.reason == ErrorReason.ERROR_REASON_HISTORY_CHANGED


def _frame(sequence: int, *, recorded: int = 0) -> bytes:
    event = TaskEvent(sequence=sequence)
    event.event_time.seconds = 1_700_000_000 + recorded
    return WatchTaskResponse(events=[event]).SerializeToString()
