"""The store on a real Redis side by side with the model of its script: each operation runs on both."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

from tests.model import machine
from tests.model.model import Amount, Change, EventKind, Outcome, PlannedStep, TaskModel
from tests.model.operation import APPROVE, REJECT
from tests.support.modelled_messages import HOUR_MS, new_step, new_task, output_of
from tests.support.modelled_tasks import AGENTS, Attempt, ModelledTasks, Submitted, rows
from tests.support.ready_queue import Message
from tests.support.stored_comparison import PARTITIONS, Comparison, message, recorded
from troupe.api.common.v1.error_pb2 import Error, ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.api.orchestrator.v1.event_pb2 import ApprovalResolved, StepsAdded, TaskEvent, UsageReported
from troupe.core.errors import TroupeError
from troupe.orchestrator.domain.delegation import DelegationBounds
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store import attempts as store
from troupe.orchestrator.store.schema import Key
from troupe.orchestrator.store.script import CONSUMER, WORKER_GROUP
from troupe.orchestrator.store.tasks import TaskStore
from troupe.orchestrator.store.transitions import Transitions

MAX_LOST_LEASES: Final = 2
BOUNDS: Final = DelegationBounds(max_depth=2, max_steps=12)
_ERROR: Final = Error(code=13, message="it broke").SerializeToString()


class ModelledStore(ModelledTasks):
    """Both. Every method runs one operation on both and compares what they answer; `check` compares what they hold."""

    def __init__(self, redis: RedisClient, transitions: Transitions) -> None:
        super().__init__()
        self._redis = redis
        self._store = TaskStore(redis=redis, partitions=PARTITIONS, transitions=transitions)
        self._patient = _attempt_store(redis, transitions, lease_ms=HOUR_MS)
        # Its ticks think that every delivered message was left lying.
        self._impatient = _attempt_store(redis, transitions, lease_ms=0)
        self._prefix = PARTITIONS.prefix(0)
        self.deliveries: list[tuple[str, store.Delivery]] = []

    async def open(self) -> None:
        await self._redis.execute("FLUSHDB")
        for agent in AGENTS:
            await self._patient.join(agent)

    # Operations of the API.

    async def submit(self, new: Submitted) -> None:
        task_id = f"t{len(self.tasks):03d}00"
        assert await self._store.submit(new_task(task_id, new, new.plan)) == task_id
        self.tasks[task_id] = TaskModel(task_id)
        self.submitted[task_id] = new
        self.events[task_id] = []
        self.apply(machine.submit(task_id, new.plan, budget=new.budget))

    async def submit_again(self, task_id: str, *, same_body: bool) -> None:
        new = self.submitted[task_id]
        body = new.plan if same_body else (*new.plan, PlannedStep("another", AGENTS[0]))
        try:
            assert await self._store.submit(new_task("t99900", new, body)) == task_id
        except TroupeError as error:
            assert not same_body
            assert error.reason == ErrorReason.ERROR_REASON_REQUEST_ID_REUSED  # noqa: PT017
        else:
            assert same_body

    async def cancel(self, task_id: str, *, after_step: bool) -> None:
        change = machine.cancel(self.tasks[task_id], after_step=after_step)
        refused = await _refusal(self._store.cancel(task_id, after_step=after_step, reason="enough"))
        assert refused == (change.outcome == Outcome.ENDED)
        self.apply(change)

    async def resolve(self, task_id: str, step: str, *, approve: bool) -> None:
        decision = APPROVE if approve else REJECT
        change = machine.resolve(self.tasks[task_id], step, decision=decision)
        event = TaskEvent(approval_resolved=ApprovalResolved(step_id=step))
        resolved = event.approval_resolved.SerializeToString()
        refused = await _refusal(self._store.resolve(task_id, step, approve=approve, resolved=resolved))
        assert refused == (change.outcome != Outcome.RESOLVED)
        self.apply(change)

    async def retry(self, task_id: str, *, request_id: str) -> None:
        change = machine.retry(self.tasks[task_id], request_id=request_id)
        refused = await _refusal(self._store.retry(task_id, request_id=request_id))
        assert refused == (change.outcome == Outcome.NOT_FAILED)
        self.apply(change)

    # Operations of workers.

    async def take(self, agent: str, room: int) -> None:
        begun = await self._patient.take(agent, 0, room=room)
        self.queues[agent].refill()
        self._compare_begun(agent, begun, self.take_waiting(agent, room))

    async def deliver(self, agent: str) -> None:
        stream = PARTITIONS.key(0, Key.READY, agent=agent)
        reply = await self._redis.execute(
            "XREADGROUP", "GROUP", WORKER_GROUP, CONSUMER, "COUNT", 1, "STREAMS", stream, ">"
        )
        for _, messages in reply or ():
            delivered = [(message_id, values[1], values[3]) for message_id, values in messages]
            self.queues[agent].pending.update(message_id for message_id, _, _ in delivered)
            self.deliveries.append((agent, store.Delivery(0, delivered)))

    async def start(self, agent: str, delivery: store.Delivery, room: int) -> None:
        begun = await self._patient.start(agent, delivery, room=room)
        queue, expected = self.queues[agent], list[tuple[Any, ...]]()
        for message_id, task_id, entries in delivery.messages:
            queue.settle(message_id)
            expected += self.begin_message(agent, message(task_id, entries), room)
        queue.refill()
        self._compare_begun(agent, begun, expected)

    async def send_again(self, agent: str, message: Message) -> None:
        """A message of the ready stream once more."""
        stream, entries = PARTITIONS.key(0, Key.READY, agent=agent), ",".join(message.entries)
        await self._redis.execute("XADD", stream, "*", "t", message.task_id, "s", entries)
        self.queues[agent].window.append(message)

    async def report(self, attempt: Attempt, *, first: int, used: Sequence[Amount]) -> None:
        kinds = [(EventKind.USAGE_REPORTED, amount) for amount in used]
        task_id, step, number = attempt
        change = machine.report(self.tasks[task_id], step, number, first=first, reports=kinds)
        event = TaskEvent(task_id=task_id, usage_reported=UsageReported(step_id=step, attempt=number, usage=Usage()))
        counts = {place: (amount.tokens, 0, amount.cost_usd_micros, 1) for place, amount in enumerate(used)}
        events = [event.SerializeToString()] * len(used)
        counted = await self._patient.report(self._identity(attempt), first=first, events=events, usage=counts)
        assert counted == (change.outcome == Outcome.RECORDED)
        self.apply(change)

    async def complete(self, attempt: Attempt, rooms: Mapping[str, int], *, take: bool) -> None:
        change = machine.complete(self.tasks[attempt[0]], *attempt[1:], rooms=self.idle(rooms))
        ended = await self._patient.complete(self._identity(attempt), output=output_of(attempt), rooms=rooms, take=take)
        self._compare_ended(attempt, change, ended, rooms, take=take)

    async def fail(self, attempt: Attempt, rooms: Mapping[str, int], *, take: bool, retry: bool) -> None:
        change = machine.fail(self.tasks[attempt[0]], *attempt[1:], retry=retry, rooms=self.idle(rooms))
        delay_ms = HOUR_MS if retry else None
        identity = self._identity(attempt)
        ended = await self._patient.fail(identity, error=_ERROR, delay_ms=delay_ms, rooms=rooms, take=take)
        self._compare_ended(attempt, change, ended, rooms, take=take)

    async def delegate(
        self, attempt: Attempt, plan: Sequence[PlannedStep], rooms: Mapping[str, int], *, take: bool
    ) -> None:
        task_id, step, number = attempt
        change = machine.delegate(self.tasks[task_id], step, number, plan=plan, bounds=BOUNDS, rooms=self.idle(rooms))
        ended = await self._patient.delegate(
            self._identity(attempt),
            steps=[new_step(new) for new in plan],
            added=StepsAdded(parent_step_id=step).SerializeToString(),
            max_depth=BOUNDS.max_depth,
            max_steps=BOUNDS.max_steps,
            rooms=rooms,
            take=take,
        )
        if isinstance(ended, str):
            assert change.outcome == Outcome.REFUSED, ended
        else:
            self._compare_ended(attempt, change, ended, rooms, take=take)

    async def hand_back(self, attempt: Attempt) -> None:
        change = machine.hand_back(self.tasks[attempt[0]], *attempt[1:])
        assert await self._patient.hand_back(self._identity(attempt)) == (change.outcome == Outcome.RECORDED)
        self.apply(change)

    async def renew(self, attempts: Sequence[Attempt]) -> None:
        lost = await self._patient.renew(0, [self._identity(attempt) for attempt in attempts])
        stale = [each for each in attempts if not machine.holds(self.tasks[each[0]], *each[1:])]
        assert [(each.task_id, each.step_id, each.number) for each in lost] == stale

    # Time.

    async def set_clock_back(self) -> None:
        """The clock of Redis was a second later when it was last looked at: what was delivered before is sent again."""
        seconds, microseconds = await self._redis.execute("TIME")
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
        ahead_ms = await self._ahead_ms()
        await self._redis.execute("SET", f"{self._prefix}:clock", f"{now_ms + 1_000} {ahead_ms} 0")
        await self.tick(redeliver=True, patient=True)
        after_ms = await self._ahead_ms()
        assert ahead_ms + 900 < after_ms <= ahead_ms + 1_000
        await self._redis.execute("SET", f"{self._prefix}:clock", f"{now_ms} {after_ms} 0")

    async def _ahead_ms(self) -> int:
        kept = await self._redis.execute("GET", f"{self._prefix}:clock")
        return int(kept.split()[1]) if kept else 0

    async def tick(
        self,
        expired: Sequence[Attempt] = (),
        due: Sequence[str] = (),
        *,
        redeliver: bool = False,
        patient: bool = False,
    ) -> None:
        """Lets leases expire and delays end, in this order, and has the clocks looked at.

        Messages are sent again to `redeliver`: since they were left lying, or, when `patient`, for another reason.
        """
        for place, (task_id, step, number) in enumerate(expired):
            await self._redis.execute("ZADD", f"{self._prefix}:leases", "XX", place, f"{task_id}|{step}|{number}")
        for place, member in enumerate(due):
            await self._redis.execute("ZADD", f"{self._prefix}:due", "XX", place, member)
        await self._redis.execute("SET", f"{self._prefix}:spared", 0)  # leases run out at once
        ticker = self._impatient if redeliver and not patient else self._patient
        ticked = await ticker.tick(0, max_lost_leases=MAX_LOST_LEASES, agents=AGENTS)
        taken = sum(self._expire(*attempt) for attempt in expired)
        retried, ended = self._end_delays(due)
        resent = 0
        for queue in self.queues.values():
            resent += queue.redeliver() if redeliver else 0
            queue.refill()
        assert (ticked.taken_over, ticked.retried, ticked.timed_out, ticked.resent) == (taken, retried, ended, resent)
        assert (ticked.leased, sum(ticked.open_tasks.values())) == (len(self.running()), len(self.live()))
        assert ticked.delayed == len(self.delayed())
        assert ticked.ready == {agent: len(each.window) for agent, each in self.queues.items()}
        assert ticked.waiting == {agent: each.waiting for agent, each in self.queues.items()}

    def _expire(self, task_id: str, step: str, number: int) -> bool:
        change = machine.expire(self.tasks[task_id], step, number, max_lost_leases=MAX_LOST_LEASES)
        self.apply(change)
        return change.outcome == Outcome.RECORDED

    def _end_delays(self, due: Sequence[str]) -> tuple[int, int]:
        retried = ended = 0
        for member in due:
            kind, task_id, *attempt = member.split("|")
            if kind == "d":
                change = machine.deadline(self.tasks[task_id])
                ended += change.outcome == Outcome.RECORDED
            else:
                change = machine.retry_due(self.tasks[task_id], attempt[0], int(attempt[1]))
                retried += change.outcome == Outcome.RECORDED
            self.apply(change)
        return retried, ended

    def _identity(self, attempt: Attempt) -> store.Attempt:
        task_id, step, number = attempt
        return store.Attempt(task_id, step, self.tasks[task_id].steps[step].planned.agent, number, 0)

    async def check(self) -> None:
        """Compares everything that Redis holds with the model."""
        await Comparison(self._redis, self).run()

    def _compare_ended(
        self, attempt: Attempt, change: Change, ended: store.Ended, rooms: Mapping[str, int], *, take: bool
    ) -> None:
        assert (ended.outcome != "lost") == (change.outcome == Outcome.RECORDED)
        before, agent = self.tasks[attempt[0]], self._identity(attempt).agent
        self.apply(change)
        if ended.outcome == "lost":
            assert change.task == before
            return
        expected = rows(change)
        if take and agent in rooms:
            own = sum(change.task.steps[each.step].planned.agent == agent for each in change.begun)
            expected += self.take_waiting(agent, rooms[agent] - own)
        assert ended.task_state == (change.task.state if change.task.state.is_final else 0)
        self._compare_begun(agent, ended.begun, expected)

    def _compare_begun(self, agent: str, begun: store.Begun, expected: list[tuple[Any, ...]]) -> None:
        rows = [
            (
                each.attempt.task_id,
                each.attempt.step_id,
                each.attempt.number,
                each.tokens_left,
                each.cost_left_usd_micros,
            )
            for each in begun.assignments
        ]
        assert rows == expected
        assert begun.more == (not self.queues[agent].is_idle)
        for each in begun.assignments:
            step = self.tasks[each.attempt.task_id].steps[each.attempt.step_id]
            assert each.attempt.agent == step.planned.agent
            assert each.failures == step.failures
            assert _outputs(each.dependencies) == recorded(self, each.attempt.task_id, step.planned.depends_on)
            assert _outputs(each.delegated) == recorded(self, each.attempt.task_id, step.delegated)


def _attempt_store(redis: RedisClient, transitions: Transitions, *, lease_ms: int) -> store.AttemptStore:
    return store.AttemptStore(
        redis=redis,
        partitions=PARTITIONS,
        transitions=transitions,
        worker_id="tester",
        lease_ms=lease_ms,
        prices={},
        default_price=0,
    )


async def _refusal(call: Awaitable[None]) -> bool:
    try:
        await call
    except TroupeError as error:
        assert error.reason == ErrorReason.ERROR_REASON_INVALID_TASK_STATE  # noqa: PT017
        return True
    return False


def _outputs(pairs: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, bytes]]:
    return [(Step.FromString(step).step_id, output) for step, output in pairs]
