"""Reading logs piece by piece, against a real Redis."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.redis import Redis
from tests.support.stored_tasks import new_task, packed_task, storing
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import StepProgress, TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2 import WatchTaskResponse
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec, TaskState
from troupe.core.errors import TroupeError
from troupe.orchestrator.redis.client import Command, RedisClient
from troupe.orchestrator.store.history import MESSAGE_BYTES, MOST_BYTES, History, LogPiece, mark_at, mark_of
from troupe.orchestrator.store.partitions import Partitions

PARTITIONS = Partitions(8)


class Log:
    """A task that is over, and its log."""

    def __init__(self, redis: RedisClient, name: str) -> None:
        self._redis = redis
        self.task_id = PARTITIONS.new_task_id(name)
        self._key = f"{PARTITIONS.prefix(PARTITIONS.of_task(self.task_id) or 0)}:task:{self.task_id}"

    async def fill(self, sizes: list[int]) -> None:
        await self._redis.execute("HSET", self._key, "task", packed_task(TaskState.TASK_STATE_COMPLETED))
        for start in range(0, len(sizes), 100):
            numbered = enumerate(sizes[start : start + 100], start=start + 1)
            await self._redis.execute("RPUSH", f"{self._key}:log", *(_frame(n, size) for n, size in numbered))

    async def trim(self, count: int, *, before: int = 0) -> None:
        commands: list[Command] = [
            ("LTRIM", f"{self._key}:log", count - before, -1),
            ("HSET", self._key, "task", packed_task(TaskState.TASK_STATE_COMPLETED, trimmed=count)),
        ]
        await self._redis.execute_atomically(commands)


def _frame(sequence: int, size: int) -> bytes:
    event = TaskEvent(sequence=sequence, step_progress=StepProgress(message="." * size))
    return WatchTaskResponse(events=[event]).SerializeToString()


def _sequences(piece: LogPiece) -> list[int]:
    return [event.sequence for event in WatchTaskResponse.FromString(piece.message).events]


@pytest_asyncio.fixture
async def redis(redis_server: Redis) -> AsyncIterator[RedisClient]:
    client = RedisClient(redis_server.url)
    yield client
    await client.close()


@pytest.mark.parametrize("message_bytes", [MESSAGE_BYTES, MOST_BYTES])
@pytest.mark.parametrize(
    ("sizes", "most_pieces"),
    [
        ([10] * 10_000, 9),
        ([1_000_000] * 70, 70),
        ([10] * 500 + [900_000] * 30 + [10] * 500, 45),
        ([10] * 5_000 + [300_000] * 60, 75),
        ([1] * 3 + [600_000, 600_000, 5], 4),
        ([40_000] * 200, 205),
        ([], 1),
    ],
    ids=["small", "large", "mixed", "suddenly large", "short", "two do not fit", "empty"],
)
async def test_a_log_is_read_whole_in_messages_of_bounded_size(
    redis: RedisClient, sizes: list[int], most_pieces: int, message_bytes: int
) -> None:
    name = f"log of {len(sizes)} {max(sizes, default=0)} {message_bytes}"
    log, history = Log(redis, name), History(redis, PARTITIONS)
    await log.fill(sizes)
    cursor, pieces, found = 0, 0, list[int]()
    piece: LogPiece | None = None
    while piece is None or piece.more:
        piece = await history.read_log(log.task_id, cursor, piece, message_bytes=message_bytes)
        cursor, pieces = piece.last_sequence, pieces + 1
        found += _sequences(piece)
        assert len(piece.message) <= message_bytes or piece.count == 1
        assert piece.ended != piece.more
    assert found == list(range(1, len(sizes) + 1))
    assert pieces <= most_pieces

    if not sizes:
        return
    newest = await history.newest(log.task_id)
    assert (newest.frame, newest.sequence, newest.ended) == (_frame(len(sizes), sizes[-1]), len(sizes), True)


async def test_a_log_that_is_trimmed_while_it_is_read(redis: RedisClient) -> None:
    log, history = Log(redis, "trimmed"), History(redis, PARTITIONS)
    await log.fill([10] * 3_000)
    first = await history.read_log(log.task_id, 0)
    await log.trim(first.last_sequence)
    second = await history.read_log(log.task_id, first.last_sequence, first)
    assert _sequences(second)[0] == first.last_sequence + 1
    assert second.trimmed == first.last_sequence

    await log.trim(2_000, before=first.last_sequence)
    with pytest.raises(TroupeError) as refused:
        await history.read_log(log.task_id, second.last_sequence, second)
    assert refused.value.reason == ErrorReason.ERROR_REASON_CURSOR_OUT_OF_RANGE
    assert refused.value.metadata == {"oldest_sequence": "2001", "newest_sequence": "3000"}
    assert _sequences(await history.read_log(log.task_id, 2_000))[0] == 2_001
    assert (await history.newest(log.task_id)).sequence == 3_000
    assert (await history.read_log(log.task_id, 3_000)).ended


@pytest.mark.parametrize("nanos", [0, 1_000, 127_000, 999_999_000])
async def test_a_place_is_told_by_when_it_was_recorded(redis: RedisClient, redis_server: Redis, nanos: int) -> None:
    """What the script appends ends in its time: so another event of the same sequence is not taken for it."""
    history = History(redis, PARTITIONS)
    spec = TaskSpec(input="x")
    async with storing(redis_server.url) as tasks:
        new = replace(new_task("default", spec, partition=3), events=[b"", b""])
        task_id = await tasks.submit(new)
    piece = await history.read_log(task_id, 0)
    *_, last = WatchTaskResponse.FromString(piece.message).events
    assert last.sequence == 2
    for mark in (mark_of(piece.message), mark_at(last.event_time)):
        await history.check_place(task_id, 2, mark)
    other = Timestamp(seconds=last.event_time.seconds - 1, nanos=nanos)
    for sequence, mark in ((2, mark_at(other)), (3, mark_at(last.event_time)), (99, mark_at(last.event_time))):
        with pytest.raises(TroupeError) as changed:
            await history.check_place(task_id, sequence, mark)
        assert changed.value.reason == ErrorReason.ERROR_REASON_HISTORY_CHANGED
        assert changed.value.metadata == {"oldest_sequence": "1", "newest_sequence": "2"}
