"""A feed of many tasks: each history whole and once, however slowly it is read."""

import asyncio
import tracemalloc
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.engine import Engine, history, spec, submit
from tests.support.processes import reached
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.core.errors import TroupeError
from troupe.core.server import Drain
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.history import History
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.watch.feed import Feed
from troupe.orchestrator.watch.follow import FeedItem
from troupe.orchestrator.watch.hub import Hub

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

CHATTY = spec(("c", "chatty", "100 500", []), ("d", "noop", "x", ["c"]))


@asynccontextmanager
async def running_hub(engine: Engine, *, max_watchers: int = 10) -> AsyncIterator[tuple[Hub, Drain]]:
    """A hub in this process, on the engine's Redis."""
    redis, partitions, drain = RedisClient(engine.redis.url), Partitions(8), Drain()
    hub = Hub(
        redis=redis,
        partitions=partitions,
        history=History(redis, partitions),
        drain=drain,
        checkpoint_seconds=15,
        buffer_bytes=256 << 10,
        coalesce_seconds=0.005,
        max_watchers=max_watchers,
        large_message_bytes=64 << 20,
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hub.run()), group.create_task(hub.stop_on_drain())]
        try:
            yield hub, drain
        finally:
            for task in tasks:
                task.cancel()
    await redis.close()


async def read(feed: Feed, *, ends: int, seconds_each: float = 0) -> dict[str, list[FeedItem]]:
    """What a feed yields until so many tasks have ended."""
    items: dict[str, list[FeedItem]] = defaultdict(list)
    async with asyncio.timeout(20):
        async for batch in feed:
            assert batch
            for item in batch:
                items[item.task_id].append(item)
            await asyncio.sleep(seconds_each)
            if sum(item[-1].ended for item in items.values()) == ends:
                return items
    raise AssertionError("the feed ended")


def events(items: list[FeedItem]) -> list[TaskEvent]:
    assert not any(item.ended for item in items[:-1])
    return [event for item in items for event in pb.WatchTaskResponse.FromString(item.frames).events]


async def publish(redis: RedisClient, task_id: str, sequences: list[int]) -> None:
    """Events for the tails, which are in no log; the last one ends the task."""
    for sequence in sequences:
        frame = pb.WatchTaskResponse(events=[TaskEvent(task_id=task_id, sequence=sequence)]).SerializeToString()
        live = ("t", task_id, "s", sequence, "n", sequence, "f", frame, "z", int(sequence == sequences[-1]))
        await redis.execute("XADD", f"{Partitions(8).prefix(int(task_id[-2:], 16))}:live", "*", *live)


async def submit_many(stub: "Stub", task: TaskSpec, count: int) -> list[str]:
    return await asyncio.gather(*(submit(stub, task) for _ in range(count)))


@pytest.mark.parametrize(
    ("capacity_bytes", "seconds_each"), [(1 << 20, 0.0), (1_000, 0.0), (20_000, 0.02)], ids=["fast", "tight", "slow"]
)
async def test_a_feed_has_every_event_of_every_task_once(
    stub: "Stub", engine: Engine, capacity_bytes: int, seconds_each: float
) -> None:
    async with running_hub(engine) as (hub, _):
        feed = hub.open_feed(capacity_bytes=capacity_bytes)
        task_ids = await submit_many(stub, CHATTY, 12)
        for task_id in task_ids:
            feed.follow(task_id)
        items = await read(feed, ends=12, seconds_each=seconds_each)
        for task_id in task_ids:
            assert events(items[task_id]) == await history(stub, task_id)
        assert len(feed) == 0, "tasks that ended are forgotten"
        feed.close()


async def test_a_feed_that_is_not_read_holds_no_more_than_its_capacity(
    stub: "Stub", engine: Engine, agents: ScriptedAgents
) -> None:
    async with running_hub(engine) as (hub, _):
        feed = hub.open_feed(capacity_bytes=5_000)
        task = spec(("c", "chatty", "100 500", []), ("h", "hanging", "x", ["c"]))
        task_ids = await submit_many(stub, task, 4)
        for task_id in task_ids:
            feed.follow(task_id)
        begun = await anext(aiter(feed))  # it is live, and is read no more
        for task_id in task_ids:
            await _waits(stub, task_id)
        await asyncio.sleep(0.05)  # longer than the hub gathers
        held = sum(topic.held_bytes for topic in hub._topics.values())
        assert held <= 5_000 + 512

        for task_id in task_ids:
            agents.gates[task_id].set()
        items = await read(feed, ends=4)
        for task_id in task_ids:
            before = [item for item in begun if item.task_id == task_id]
            assert events(before + items[task_id]) == await history(stub, task_id)
        feed.close()


async def test_what_was_read_of_tasks_that_go_on_is_not_kept(stub: "Stub", engine: Engine) -> None:
    task_ids = await submit_many(stub, spec(("c", "chatty", "100 2000", [])), 12)
    for task_id in task_ids:
        await history(stub, task_id)
    async with running_hub(engine) as (hub, _):
        feed = hub.open_feed(capacity_bytes=1 << 20)
        for task_id in task_ids:
            feed.follow(task_id)
        await read(feed, ends=12)  # and the client has its connections, and what they hold
        for task_id in task_ids:
            feed.follow(task_id)
        tracemalloc.start()
        try:
            items = await anext(aiter(feed))
            read_bytes = sum(len(item.frames) for item in items)
            assert len(feed) == len(items) == 12
            del items
            await reached(lambda: tracemalloc.get_traced_memory()[0] < read_bytes / 4)
        finally:
            tracemalloc.stop()
        feed.close()


async def _waits(stub: "Stub", task_id: str) -> None:
    """Returns when the agent of the second step hangs."""
    async for response in stub.WatchTask(pb.WatchTaskRequest(task_id=task_id)):
        if any(event.step_progress.message == "waits" for event in response.events):
            return


async def test_only_the_end_when_no_more_is_asked_for(stub: "Stub", engine: Engine, agents: ScriptedAgents) -> None:
    async with running_hub(engine) as (hub, _):
        feed = hub.open_feed(capacity_bytes=1 << 20)
        over = await submit(stub, CHATTY)
        expected = {over: await history(stub, over)}
        going_on = await submit_many(stub, spec(("c", "chatty", "50 50", []), ("h", "hanging", "x", ["c"])), 5)
        big = await submit(stub, spec(("h", "hanging", "x", []), ("b", "bulky", "20000", ["h"])))
        for task_id in (over, *going_on, big):
            feed.follow(task_id, terminal_only=True)
        first = await read(feed, ends=1)
        assert list(first) == [over]
        for task_id in (*going_on, big):
            agents.gates[task_id].set()
        items = {**first, **await read(feed, ends=6)}
        for task_id in (*going_on, big):
            expected[task_id] = await history(stub, task_id)
        for task_id, whole in expected.items():
            (item,) = items[task_id]
            assert item.ended
            last = events([item])
            assert 1 <= len(last) <= 3
            assert last == whole[-len(last) :]
        feed.close()


async def test_a_task_can_be_followed_before_it_is_submitted(stub: "Stub", engine: Engine) -> None:
    async with running_hub(engine) as (hub, _):
        feed = hub.open_feed(capacity_bytes=1 << 20)
        redis = RedisClient(engine.redis.url)
        probe = Partitions(8).new_task_id("probe")
        feed.follow(probe, unsubmitted=True)
        probing = asyncio.create_task(read(feed, ends=1))
        while not probing.done():  # the hub does not say when its tail listens
            await publish(redis, probe, [1])
            await asyncio.sleep(0.02)
        await probing

        never, coming = (Partitions(8).new_task_id(name) for name in ("never", "coming"))
        feed.follow(never, unsubmitted=True)
        feed.follow(coming, unsubmitted=True)
        await publish(redis, coming, [1, 2])
        items = await read(feed, ends=1)
        assert [event.sequence for event in events(items[coming])] == [1, 2]
        assert len(feed) == 1
        feed.forget(never)
        assert len(feed) == 0
        feed.close()
        await redis.close()


async def test_a_task_that_cannot_be_followed_leaves_the_others_alone(stub: "Stub", engine: Engine) -> None:
    async with running_hub(engine) as (hub, _):
        feed = hub.open_feed(capacity_bytes=1 << 20)
        task_id = await submit(stub, CHATTY)
        unknown = Partitions(8).new_task_id("unknown")
        feed.follow(unknown)
        feed.follow(task_id, after_sequence=2)  # `task_submitted` and `task_planned` are there
        items = await read(feed, ends=1)
        (refused,) = items[unknown]
        assert refused.error is not None
        assert refused.error.reason == ErrorReason.ERROR_REASON_TASK_NOT_FOUND
        assert events(items[task_id]) == await history(stub, task_id, after=2)

        late = Partitions(8).new_task_id("late")
        feed.follow(late, after_sequence=0)
        assert len(feed) == 1
        feed.close()
        assert len(feed) == 0
        assert [batch async for batch in feed] == []


async def test_feeds_count_as_watchers_and_end_on_drain(stub: "Stub", engine: Engine) -> None:
    async with running_hub(engine, max_watchers=1) as (hub, drain):
        feed = hub.open_feed(capacity_bytes=1 << 20)
        with pytest.raises(TroupeError) as refused:
            hub.open_feed(capacity_bytes=1)
        assert refused.value.reason == ErrorReason.ERROR_REASON_QUOTA_EXCEEDED
        feed.close()
        feed = hub.open_feed(capacity_bytes=1 << 20)
        reading = asyncio.create_task(read(feed, ends=1))
        drain.start()
        with pytest.raises(TroupeError) as drained:
            await reading
        assert drained.value.reason == ErrorReason.ERROR_REASON_SERVER_DRAINING
        feed.close()
