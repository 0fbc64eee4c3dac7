"""Random interleavings against the script on a real Redis, each compared with the model of the state machine."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.model.model import NOTHING, Amount, PlannedStep
from tests.model.states import StepState, TaskState
from tests.support.modelled_store import ModelledStore
from tests.support.modelled_tasks import AGENTS, PROJECTS, Attempt, Submitted
from tests.support.ready_queue import PRIORITIES, WINDOW, Message
from tests.support.redis import RedisServer
from tests.support.stored_comparison import PARTITIONS
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.transitions import Transitions

Run = Callable[[Coroutine[Any, Any, None]], None]

EXAMPLES = 80
AGENT = st.sampled_from(AGENTS)
ROOM = st.integers(0, 4)
ROOMS = st.dictionaries(AGENT, st.integers(0, 2))
BUDGET = st.sampled_from([NOTHING, NOTHING, Amount(1), Amount(3), Amount(10), Amount(12, 30), Amount(0, 5)])
USED = st.lists(st.builds(Amount, st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=3)


@st.composite
def plans(draw: st.DrawFn, most: int = 6, prefix: str = "") -> tuple[PlannedStep, ...]:
    steps = list[PlannedStep]()
    for place in range(draw(st.integers(1, most))):
        before = [step.step_id for step in steps]
        depends_on = draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if before else []
        approval = draw(st.integers(0, 7)) == 7
        steps.append(PlannedStep(f"{prefix}s{place}", draw(AGENT), tuple(depends_on), approval))
    return tuple(steps)


class Interleavings(RuleBasedStateMachine):
    """Clients, workers, people and time, in any order."""

    def __init__(self, store: ModelledStore, run: Run) -> None:
        super().__init__()
        self.store = store
        self.run = run
        run(store.open())

    def _running(self, data: st.DataObject) -> Attempt:
        """Of a task that is being cancelled, if there is one: it is soon over."""
        running = self.store.running()
        cancelling = [each for each in running if self.store.tasks[each[0]].state == TaskState.CANCELLING]
        return data.draw(st.sampled_from(cancelling or running))

    @initialize(plan=plans(), budget=BUDGET)
    def first_task(self, plan: tuple[PlannedStep, ...], budget: Amount) -> None:
        self.run(self.store.submit(Submitted("r0", PROJECTS[0], 2, plan, budget)))

    @precondition(lambda self: len(self.store.tasks) < 6)
    @rule(plan=plans(), budget=BUDGET, project=st.sampled_from(PROJECTS), priority=st.sampled_from(PRIORITIES))
    def submit(self, plan: tuple[PlannedStep, ...], budget: Amount, project: str, priority: int) -> None:
        new = Submitted(f"r{len(self.store.tasks)}", project, priority, plan, budget)
        self.run(self.store.submit(new))

    @rule(data=st.data(), same_body=st.booleans())
    def submit_again(self, data: st.DataObject, same_body: bool) -> None:
        task_id = data.draw(st.sampled_from(list(self.store.tasks)))
        self.run(self.store.submit_again(task_id, same_body=same_body))

    @rule(agent=AGENT, room=ROOM)
    def take(self, agent: str, room: int) -> None:
        self.run(self.store.take(agent, room))

    @rule(agent=AGENT)
    def deliver(self, agent: str) -> None:
        self.run(self.store.deliver(agent))

    @precondition(lambda self: self.store.deliveries)
    @rule(data=st.data(), room=ROOM)
    def start(self, data: st.DataObject, room: int) -> None:
        agent, delivery = data.draw(st.sampled_from(self.store.deliveries))
        self.run(self.store.start(agent, delivery, room))

    @precondition(lambda self: self.store.sent)
    @rule(data=st.data(), room=ROOM)
    def a_message_comes_again(self, data: st.DataObject, room: int) -> None:
        """One of an earlier attempt, if there is one that could be mistaken for the next."""
        agent, message = data.draw(st.sampled_from(self.store.outdated() or self.store.sent))
        self.run(self.store.send_again(agent, message))
        self.run(self.store.take(agent, room))

    @rule(agent=AGENT)
    def fill_the_window(self, agent: str) -> None:
        """Messages of a task that is kept no more, so that what comes next waits behind the window."""
        while len(self.store.queues[agent].window) < WINDOW:
            self.run(self.store.send_again(agent, Message("gone00", ("s0@1",))))

    @precondition(lambda self: self.store.running())
    @rule(data=st.data(), rooms=ROOMS, take=st.booleans())
    def complete(self, data: st.DataObject, rooms: dict[str, int], take: bool) -> None:
        self.run(self.store.complete(self._running(data), rooms, take=take))

    @precondition(lambda self: self.store.running())
    @rule(data=st.data(), rooms=ROOMS, take=st.booleans(), retry=st.sampled_from([True, True, False]))
    def fail(self, data: st.DataObject, rooms: dict[str, int], take: bool, retry: bool) -> None:
        self.run(self.store.fail(self._running(data), rooms, take=take, retry=retry))

    @precondition(lambda self: self.store.running())
    @rule(data=st.data(), rooms=ROOMS, take=st.booleans())
    def delegate(self, data: st.DataObject, rooms: dict[str, int], take: bool) -> None:
        attempt = self._running(data)
        self.run(self.store.delegate(attempt, self._delegated(data, attempt), rooms, take=take))

    def _delegated(self, data: st.DataObject, attempt: Attempt) -> tuple[PlannedStep, ...]:
        task_id, step, _ = attempt
        earlier = self.store.tasks[task_id].steps[step].delegated
        fresh = data.draw(st.integers(0, 7)) < 7  # else ids that may have been used before
        return data.draw(plans(3, f"{step}.{len(earlier) if fresh else 0}."))

    @precondition(lambda self: self.store.running())
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        self.run(self.store.hand_back(self._running(data)))

    @precondition(lambda self: self.store.running())
    @rule(data=st.data(), used=USED, more=USED, repeated=st.booleans())
    def report(self, data: st.DataObject, used: list[Amount], more: list[Amount], repeated: bool) -> None:
        """`repeated`: the answer was lost, and the events are sent again, with more behind them."""
        attempt = self._running(data)
        reported = self.store.tasks[attempt[0]].steps[attempt[1]].reported
        self.run(self.store.report(attempt, first=reported, used=used))
        if repeated:
            self.run(self.store.report(attempt, first=reported, used=used + more))

    @precondition(lambda self: self.store.stale())
    @rule(data=st.data(), rooms=ROOMS, retry=st.booleans())
    def a_lost_attempt_speaks(self, data: st.DataObject, rooms: dict[str, int], retry: bool) -> None:
        store, attempt = self.store, data.draw(st.sampled_from(self.store.overtaken() or self.store.stale()))
        plan = (PlannedStep(f"{attempt[1]}.late", AGENTS[0]),)
        self.run(store.report(attempt, first=0, used=[Amount(1, 1)]))
        self.run(store.complete(attempt, rooms, take=True))
        self.run(store.fail(attempt, rooms, take=True, retry=retry))
        self.run(store.delegate(attempt, plan, rooms, take=True))
        self.run(store.hand_back(attempt))

    @precondition(lambda self: self.store.attempts)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        attempts = data.draw(st.lists(st.sampled_from(self.store.attempts), unique=True, max_size=5))
        self.run(self.store.renew(attempts))

    @precondition(lambda self: self.store.running())
    @rule(data=st.data(), take_over=st.booleans())
    def leases_expire(self, data: st.DataObject, take_over: bool) -> None:
        running = self.store.running()
        lost_before = [each for each in running if self.store.tasks[each[0]].steps[each[1]].lost]
        expired = data.draw(st.lists(st.sampled_from(lost_before or running), unique=True, min_size=1, max_size=3))
        self.run(self.store.tick(expired))
        if take_over:
            for agent in AGENTS:
                self.run(self.store.take(agent, 4))

    @precondition(lambda self: self.store.retries)
    @rule(data=st.data())
    def delays_end(self, data: st.DataObject) -> None:
        due = data.draw(st.lists(st.sampled_from(sorted(self.store.retries)), unique=True, min_size=1, max_size=3))
        self.run(self.store.tick((), due))

    @rule(data=st.data(), redeliver=st.booleans())
    def time_passes(self, data: st.DataObject, redeliver: bool) -> None:
        running, delayed = self.store.running(), self.store.delayed()
        expired = data.draw(st.lists(st.sampled_from(running), unique=True, max_size=3)) if running else []
        due = data.draw(st.lists(st.sampled_from(delayed), unique=True, max_size=2)) if delayed else []
        self.run(self.store.tick(expired, due, redeliver=redeliver))

    @rule()
    def the_clock_is_set_back(self) -> None:
        self.run(self.store.set_clock_back())

    @rule(data=st.data(), after_step=st.sampled_from([True, True, True, False]))
    def cancel(self, data: st.DataObject, after_step: bool) -> None:
        running = [task_id for task_id, _, _ in self.store.running()]
        self.run(
            self.store.cancel(data.draw(st.sampled_from(running or list(self.store.tasks))), after_step=after_step)
        )

    @precondition(lambda self: self.store.running())
    @rule(data=st.data(), how=st.sampled_from(["fail", "retry", "hand back", "expire", "delegate", "complete"]))
    def end_a_step_of_a_task_that_is_being_cancelled(self, data: st.DataObject, how: str) -> None:
        attempt, store = self._running(data), self.store
        self.run(store.cancel(attempt[0], after_step=True))
        match how:
            case "fail" | "retry":
                self.run(store.fail(attempt, {}, take=False, retry=how == "retry"))
            case "hand back":
                self.run(store.hand_back(attempt))
            case "expire":
                self.run(store.tick([attempt]))
            case "delegate":
                self.run(store.delegate(attempt, self._delegated(data, attempt), {}, take=False))
            case _:
                self.run(store.complete(attempt, {}, take=False))

    @precondition(lambda self: self.store.steps_in(StepState.AWAITING_APPROVAL))
    @rule(data=st.data(), approve=st.sampled_from([True, True, False]))
    def decide(self, data: st.DataObject, approve: bool) -> None:
        task_id, step = data.draw(st.sampled_from(self.store.steps_in(StepState.AWAITING_APPROVAL)))
        self.run(self.store.resolve(task_id, step, approve=approve))

    @rule(data=st.data(), approve=st.booleans())
    def decide_out_of_turn(self, data: st.DataObject, approve: bool) -> None:
        task_id = data.draw(st.sampled_from(list(self.store.tasks)))
        step = data.draw(st.sampled_from(self.store.tasks[task_id].order))
        self.run(self.store.resolve(task_id, step, approve=approve))

    @rule(data=st.data(), request_id=st.sampled_from(["", "again", "once more"]))
    def retry(self, data: st.DataObject, request_id: str) -> None:
        failed = [task_id for task_id, task in self.store.tasks.items() if task.state == TaskState.FAILED]
        self.run(self.store.retry(data.draw(st.sampled_from(failed or list(self.store.tasks))), request_id=request_id))

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        self.run(self.store.check())

    def teardown(self) -> None:
        self.run(drain(self.store))


async def drain(store: ModelledStore) -> None:
    """Lets all go well from here on: every task ends, and nothing is left over."""
    for _ in range(200):
        for task_id, step in store.steps_in(StepState.AWAITING_APPROVAL):
            await store.resolve(task_id, step, approve=True)
        await store.tick((), sorted(store.retries), redeliver=True)
        await store.check()
        for agent in AGENTS:
            await store.take(agent, 4)
        for attempt in store.running():
            await store.complete(attempt, {}, take=False)
        if not store.live() and all(queue.is_idle for queue in store.queues.values()):
            break
    await store.check()
    assert not store.live()
    assert not store.running()
    assert not store.delayed()
    assert all(queue.is_idle and not queue.pending for queue in store.queues.values())


@pytest.fixture(scope="module")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that is flushed again and again. What the script does is the same on a cluster."""
    server = RedisServer(data_dir=tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def interleavings(one_redis: RedisServer) -> Iterator[type[Interleavings]]:
    """Machines on a database of their own, all on one event loop."""
    with asyncio.Runner() as runner:
        redis = RedisClient(one_redis.url)
        transitions = Transitions(redis=redis, partitions=PARTITIONS)

        class OnRedis(Interleavings):
            def __init__(self) -> None:
                super().__init__(ModelledStore(redis, transitions), runner.run)

        yield OnRedis
        runner.run(redis.close())


@pytest.mark.timeout(600)  # it takes seconds; one that fails takes minutes to be made small
def test_the_script_does_what_the_model_does(interleavings: type[Interleavings]) -> None:
    checks = list(HealthCheck)
    run_state_machine_as_test(
        interleavings,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=checks,
        ),
    )


@pytest_asyncio.fixture
async def store(one_redis: RedisServer) -> AsyncIterator[ModelledStore]:
    redis = RedisClient(one_redis.url)
    async with Transitions(redis=redis, partitions=PARTITIONS) as transitions:
        modelled = ModelledStore(redis, transitions)
        await modelled.open()
        yield modelled
    await redis.close()


async def test_a_step_that_waits_for_budget_and_is_delivered_again_begins_once(store: ModelledStore) -> None:
    plan = (PlannedStep("holder", "red"), PlannedStep("waiter", "blue"))
    await store.submit(Submitted("r0", PROJECTS[0], 2, plan, Amount(1)))
    await store.take("red", 1)
    await store.deliver("blue")
    await store.take("blue", 1)  # past the group
    await store.start(*store.deliveries[0], 1)
    await store.check()
    await store.complete(("t00000", "holder", 1), {"blue": 2}, take=True)
    await store.check()
    await drain(store)


async def test_a_delay_from_before_a_task_was_retried_starts_nothing(store: ModelledStore) -> None:
    await store.submit(Submitted("r0", PROJECTS[0], 2, (PlannedStep("s", "red"),), NOTHING))
    await store.take("red", 1)
    await store.fail(("t00000", "s", 1), {}, take=False, retry=True)
    await store.tick((), ["d|t00000"])
    await store.retry("t00000", request_id="")
    await store.take("red", 1)
    await store.fail(("t00000", "s", 2), {}, take=False, retry=True)
    await store.tick((), ["r|t00000|s|1"])
    await store.check()
    await drain(store)


async def test_a_worker_that_wakes_up_is_not_heard_and_a_step_that_kills_workers_fails(store: ModelledStore) -> None:
    await store.submit(Submitted("r0", PROJECTS[0], 2, (PlannedStep("s", "red"),), NOTHING))
    await store.take("red", 1)
    await store.tick([("t00000", "s", 1)])
    await store.take("red", 1)
    await store.complete(("t00000", "s", 1), {}, take=False)
    await store.check()
    await store.tick([("t00000", "s", 2)])
    await store.check()
    assert store.tasks["t00000"].state == TaskState.FAILED
    await drain(store)
