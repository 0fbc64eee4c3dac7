"""Messages that come twice and reports that come late: what a queue may do to a worker, and a worker to the store."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from random import Random

from tests.bench.chaos.agents import NAMES
from tests.bench.chaos.deployment import PARTITIONS, Deployment
from tests.bench.chaos.view import Complain, View
from troupe.api.common.v1.error_pb2 import Error
from troupe.api.common.v1.step_pb2 import Step
from troupe.core.errors import TroupeError
from troupe.orchestrator.redis.client import RedisClient, ReplyError
from troupe.orchestrator.store.attempts import Attempt, AttemptStore, Ended
from troupe.orchestrator.store.new_step import NewStep
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key
from troupe.orchestrator.store.transitions import Transitions

_PARTITIONS = Partitions(PARTITIONS)
_INTERVAL_SECONDS = 0.1


class Duplicates:
    """Adds messages again and repeats reports of attempts that are over, until it is cancelled."""

    def __init__(self, deployment: Deployment, views: Mapping[str, View], rng: Random, complain: Complain) -> None:
        self._deployment = deployment
        self._views = views
        self._rng = rng
        self._complain = complain
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """One of each, again and again; what the store cannot take now is left."""
        redis = RedisClient(self._deployment.store_url)
        try:
            async with Transitions(redis=redis, partitions=_PARTITIONS) as transitions:
                store = AttemptStore(
                    redis=redis,
                    partitions=_PARTITIONS,
                    transitions=transitions,
                    worker_id="chaos",
                    lease_ms=1000,
                    prices={},
                    default_price=1,
                )
                while True:
                    await asyncio.sleep(self._rng.uniform(0.5, 1.5) * _INTERVAL_SECONDS)
                    for inject in (partial(self._copy, redis), partial(self._again, redis), partial(self._late, store)):
                        try:
                            await inject()
                        except (OSError, ReplyError, TroupeError):
                            self.counts["refused, the store is down"] += 1
        finally:
            await redis.close()

    async def _copy(self, redis: RedisClient) -> None:
        """Adds a message that waits in a stream once more."""
        agent = self._rng.choice(NAMES)
        streams = [_PARTITIONS.key(partition, Key.READY, agent=agent) for partition in _PARTITIONS.all()]
        self._rng.shuffle(streams)
        for stream in streams:
            for _, fields in await redis.execute("XRANGE", stream, "-", "+", "COUNT", 4):
                await redis.execute("XADD", stream, "*", *fields)
                self.counts["messages copied"] += 1
                return

    async def _again(self, redis: RedisClient) -> None:
        """Adds a message of attempts that were ready or have started; mostly of the latest."""
        if (view := self._any_view()) is None:
            return
        delivered = list(_delivered(view))[-self._rng.choice([3, 3, 100]) :]
        if not delivered:
            return
        agent, _ = self._rng.choice(delivered)
        entries = [entry for other, entry in delivered if other == agent]
        chosen = self._rng.sample(entries, self._rng.randint(1, min(3, len(entries))))
        stream = _PARTITIONS.key(_partition(view.task_id), Key.READY, agent=agent)
        await redis.execute("XADD", stream, "*", "t", view.task_id, "s", ",".join(chosen))
        self.counts["messages added again"] += 1

    async def _late(self, store: AttemptStore) -> None:
        """Reports on an attempt that is over, as a worker would that was cut off meanwhile."""
        view = self._any_view()
        over = list(_over(view)) if view else []
        if view is None or not over:
            return
        attempt = self._rng.choice(over)
        error = Error().SerializeToString()
        ended = [
            await store.complete(attempt, output=b"", rooms={}, take=False),
            await store.fail(attempt, error=error, delay_ms=1, rooms={}, take=False),
            await self._delegate(store, attempt),
        ]
        counted = [
            *(one if isinstance(one, str) else one.outcome != "lost" for one in ended),
            await store.report(attempt, first=0, events=[b""], usage={}),
            await store.hand_back(attempt),
            not await store.renew(attempt.partition, [attempt]),
        ]
        self.counts["late reports"] += len(counted)
        if any(counted):
            problem = f"reports {counted} of {attempt.step_id}@{attempt.number}, which was over, were taken"
            self._complain(f"task {view.task_id}: {problem}")

    @staticmethod
    async def _delegate(store: AttemptStore, attempt: Attempt) -> Ended | str:
        steps = [NewStep.of(Step(step_id="late", agent="noop", instruction="seconds=0"))]
        return await store.delegate(attempt, steps=steps, added=b"", max_depth=3, max_steps=2000, rooms={}, take=False)

    def _any_view(self) -> View | None:
        views = list(self._views.values())[-40:]
        running = [view for view in views if not view.ended]
        chosen = running if running and self._rng.random() < 0.8 else views
        return self._rng.choice(chosen) if chosen else None


def _delivered(view: View) -> Iterator[tuple[str, str]]:
    """Agents and attempts of which there has been a message, as it names them."""
    steps: dict[str, Step] = {}
    completed: set[str] = set()
    for event in view.events:
        match event.WhichOneof("event"):
            case "task_planned":
                steps = {step.step_id: step for step in event.task_planned.plan.steps}
            case "steps_added":
                steps |= {step.step_id: step for step in event.steps_added.steps}
            case "step_started":
                steps.pop(event.step_started.step_id, None)
                yield event.step_started.agent, f"{event.step_started.step_id}@{event.step_started.attempt}"
            case "step_completed":
                completed.add(event.step_completed.step_id)
    for step in steps.values():
        if completed.issuperset(step.depends_on):
            yield step.agent, f"{step.step_id}@1"


def _over(view: View) -> Iterator[Attempt]:
    """The attempts that the history has gone past."""
    latest: dict[str, int] = {}
    ended: set[tuple[str, int]] = set()
    agents: dict[str, str] = {}
    for event in view.events:
        match event.WhichOneof("event"):
            case "step_started":
                latest[event.step_started.step_id] = event.step_started.attempt
                agents[event.step_started.step_id] = event.step_started.agent
            case "step_completed":
                ended.add((event.step_completed.step_id, event.step_completed.attempt))
            case "step_failed":
                ended.add((event.step_failed.step_id, event.step_failed.attempt))
            case "steps_added":
                parent = event.steps_added.parent_step_id
                ended.add((parent, latest[parent]))
    for step_id, newest in latest.items():
        for number in range(1, newest + 1):
            if number < newest or view.ended or (step_id, number) in ended:
                yield _attempt(view.task_id, step_id, agents[step_id], number)


def _attempt(task_id: str, step_id: str, agent: str, number: int) -> Attempt:
    return Attempt(task_id, step_id, agent, number, _partition(task_id))


def _partition(task_id: str) -> int:
    partition = _PARTITIONS.of_task(task_id)
    assert partition is not None
    return partition
