"""What lies in Redis is what the schema says, and rows of other releases are worked with."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import msgpack
import pytest
import pytest_asyncio

from tests.model.model import Amount, PlannedStep
from tests.support.modelled_messages import new_task
from tests.support.modelled_tasks import AGENTS, PROJECTS, Submitted
from tests.support.redis import Redis
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import Error
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.event_pb2 import StepsAdded
from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.attempts import Assignment, AttemptStore
from troupe.orchestrator.store.new_step import NewStep
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.records import task_message
from troupe.orchestrator.store.schema import STEP_FIELDS, TASK_FIELDS, Key, StepBase, StepRow, TaskBase, TaskRow
from troupe.orchestrator.store.tasks import NewTask, TaskStore
from troupe.orchestrator.store.transitions import Transitions

# The partition is this file's own, so that nothing else stands in it.
PARTITIONS: Final = Partitions(8)
PARTITION: Final = 5
AGENT: Final = AGENTS[0]
_LATER: Final = ["what came later", 7]


@dataclass(frozen=True)
class Stores:
    redis: RedisClient
    tasks: TaskStore
    attempts: AttemptStore

    async def begin(self) -> Assignment:
        (begun,) = (await self.attempts.take(AGENT, PARTITION, room=1)).assignments
        return begun

    async def complete(self, begun: Assignment, text: str) -> None:
        output = StepOutput(text=text).SerializeToString()
        await self.attempts.complete(begun.attempt, output=output, rooms={}, take=False)

    async def indexed(self, owner: str) -> Sequence[str]:
        key = PARTITIONS.key(PARTITION, Key.INDEX, owner=owner)
        return [task.decode() for task in await self.redis.execute("ZRANGE", key, 0, -1)]

    async def rewrite(self, task_id: str, *, earlier: bool) -> None:
        """Gives the rows of a task the form of another release: without what is not set at their end, or longer."""
        key = PARTITIONS.key(PARTITION, Key.TASK, task=task_id)
        rows = {"task": TaskRow, "base": TaskBase, "now": StepRow}
        flat = await self.redis.execute("HGETALL", key)
        for name, packed in zip(flat[::2], flat[1::2], strict=True):
            step, _, field = name.decode().rpartition(":")
            kind: type[NamedTuple] | None = StepBase if step and field == "base" else rows.get(field)
            if kind is not None:
                values = msgpack.unpackb(packed, raw=True)
                values = _shortened(kind, values) if earlier else [*values, *_LATER]
                await self.redis.execute("HSET", key, name, msgpack.packb(values, use_bin_type=False))

    async def ends_of_rows(self, task_id: str) -> list[list[object]]:
        task, step = await self.redis.execute(
            "HMGET", PARTITIONS.key(PARTITION, Key.TASK, task=task_id), "task", "a:now"
        )
        return [msgpack.unpackb(row)[-2:] for row in (task, step)]


def _shortened(kind: type[NamedTuple], values: list[object]) -> list[object]:
    defaults = [b"" if value == "" else value for value in kind._field_defaults.values()]
    while values and values[-1] == defaults[len(values) - 1]:
        values = values[:-1]
    return values


@pytest_asyncio.fixture
async def stores(redis_server: Redis) -> AsyncIterator[Stores]:
    redis = RedisClient(redis_server.url)
    async with Transitions(redis=redis, partitions=PARTITIONS) as transitions:
        attempts = AttemptStore(
            redis=redis,
            partitions=PARTITIONS,
            transitions=transitions,
            worker_id="tester",
            lease_ms=60_000,
            prices={},
            default_price=1,
        )
        yield Stores(redis, TaskStore(redis=redis, partitions=PARTITIONS, transitions=transitions), attempts)
    await redis.close()


def _task(name: str, *, conversation: str = "", retention_ms: int = 60_000) -> NewTask:
    plan = (PlannedStep("a", AGENT, (), needs_approval=False), PlannedStep("b", AGENT, ("a",), needs_approval=False))
    task = new_task(f"{name}{PARTITION:02x}", Submitted(name, PROJECTS[0], 2, plan, Amount(1000)), plan)
    return replace(task, base=task.base._replace(conversation=conversation, retention=retention_ms))


@pytest.mark.parametrize("earlier", [True, False], ids=["an earlier release", "a later release"])
async def test_rows_of_another_release_are_worked_with(stores: Stores, earlier: bool) -> None:
    name = "earlier" if earlier else "later"
    task_id = await stores.tasks.submit(_task(name))
    await stores.rewrite(task_id, earlier=earlier)
    begun = await stores.begin()
    assert (begun.attempt.task_id, begun.attempt.step_id, begun.project) == (task_id, "a", PROJECTS[0])
    await stores.rewrite(task_id, earlier=earlier)
    added = [NewStep.of(Step(step_id="a.c", agent=AGENT))]
    encoded = StepsAdded(parent_step_id="a").SerializeToString()
    await stores.attempts.delegate(
        begun.attempt, steps=added, added=encoded, max_depth=2, max_steps=9, rooms={}, take=False
    )
    await stores.rewrite(task_id, earlier=earlier)
    for expected in ("a.c", "a", "b"):
        begun = await stores.begin()
        assert begun.attempt.step_id == expected
        await stores.rewrite(task_id, earlier=earlier)
        await stores.complete(begun, expected)
    task = task_message(await stores.tasks.get(task_id), whole=True)
    assert (task.state, task.output.text) == (TaskState.TASK_STATE_COMPLETED, "b")
    assert [step.output.text for step in task.steps] == ["a.c", "a", "b"]
    if not earlier:
        assert await stores.ends_of_rows(task_id) == [_LATER, _LATER], "what a later release wrote is gone"


async def test_a_conversation_lists_its_tasks_as_long_as_they_are_kept(stores: Stores) -> None:
    for name in ("first", "second"):
        await stores.tasks.submit(_task(name, conversation="a conversation/of 2", retention_ms=1))
    await stores.tasks.submit(_task("other"))
    ids = [f"{name}{PARTITION:02x}" for name in ("first", "second", "other")]
    assert await stores.indexed(f"{PROJECTS[0]}/a conversation/of 2") == ids[:2]
    assert set(ids) <= set(await stores.indexed(PROJECTS[0]))

    for task_id in ids:
        await stores.tasks.cancel(task_id, after_step=False, reason="")
    while await stores.indexed(f"{PROJECTS[0]}/a conversation/of 2"):
        await stores.attempts.tick(PARTITION, max_lost_leases=1, agents=[])
    assert set(await stores.indexed(PROJECTS[0])) & set(ids) == {ids[2]}


async def test_a_task_taken_up_again_is_listed_until_it_expires_again(stores: Stores) -> None:
    task_id = await stores.tasks.submit(_task("retried", conversation="c"))
    begun = await stores.begin()
    error = Error(code=13, message="it broke").SerializeToString()
    await stores.attempts.fail(begun.attempt, error=error, delay_ms=None, rooms={}, take=False)
    expiring = PARTITIONS.key(PARTITION, Key.EXPIRING)
    members = [f"{owner} {task_id}".encode() for owner in (PROJECTS[0], f"{PROJECTS[0]}/c")]
    assert set(members) <= set(await stores.redis.execute("ZRANGE", expiring, 0, -1))
    await stores.tasks.retry(task_id, request_id="")
    assert not set(members) & set(await stores.redis.execute("ZRANGE", expiring, 0, -1))
    assert await stores.indexed(f"{PROJECTS[0]}/c") == [task_id]
    await stores.tasks.cancel(task_id, after_step=False, reason="")


async def test_nothing_is_stored_that_the_schema_does_not_have(stores: Stores) -> None:
    await stores.attempts.join(AGENT)
    for number in range(30):
        await stores.tasks.submit(_task(f"many{number}", conversation="c"))
    begun = await stores.begin()
    await stores.complete(begun, "done")
    await stores.tasks.cancel(begun.attempt.task_id, after_step=False, reason="enough")
    await stores.attempts.tick(PARTITION, max_lost_leases=1, agents=[AGENT])

    prefix = PARTITIONS.prefix(PARTITION)
    templates = {_pattern(key.template): key for key in reversed(Key)}
    found = set[Key]()
    for name in await _keys(stores.redis, prefix):
        key = next((key for pattern, key in templates.items() if pattern.fullmatch(name)), None)
        assert key is not None, name
        assert (await stores.redis.execute("TYPE", f"{prefix}:{name}")).decode() == key.kind, name
        found.add(key)
        if key is Key.TASK:
            fields = {each.decode() for each in await stores.redis.execute("HKEYS", f"{prefix}:{name}")}
            known = {*TASK_FIELDS, *(f"{step}:{field}" for step in ("a", "b", "a.c") for field in STEP_FIELDS)}
            assert fields <= known, fields - known
    assert {Key.TASK, Key.LOG, Key.REQUEST, Key.INDEX, Key.OPEN, Key.READY, Key.QUEUE, Key.TURNS, Key.DUE} <= found


async def _keys(redis: RedisClient, prefix: str) -> list[str]:
    """What stands behind the prefix in the names of a partition's keys."""
    script = "return redis.call('KEYS', ARGV[1])"
    names = await redis.execute("EVAL", script, 1, prefix, f"{prefix}:*")
    return [name.decode().removeprefix(f"{prefix}:") for name in names]


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(template)))
