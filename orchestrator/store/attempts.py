"""Steps as a worker needs them: delivered, begun, reported on, ended."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from troupe.core.background import stop
from troupe.core.errors import TroupeError
from troupe.orchestrator.redis.client import RedisClient, ReplyError
from troupe.orchestrator.store import schema
from troupe.orchestrator.store.new_step import NewStep
from troupe.orchestrator.store.partitions import Partitions, partition_of_key
from troupe.orchestrator.store.schema import Key, read
from troupe.orchestrator.store.script import CONSUMER, WORKER_GROUP
from troupe.orchestrator.store.transitions import Reply, Transitions, store_unavailable

_TICK_LIMIT: Final = 100
_BLOCK_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of a step. Its number is the fence: of two attempts the larger one counts."""

    task_id: str
    step_id: str
    agent: str
    number: int
    partition: int

    @property
    def identity(self) -> dict[str, Any]:
        """What the script's fence looks at."""
        return {"task": self.task_id, "step": self.step_id, "attempt": self.number}


@dataclass(frozen=True, slots=True)
class Assignment:
    """A begun attempt with what it needs to run. Messages are encoded; budgets are 0 when there is no bound."""

    attempt: Attempt
    time_left_ms: int
    tokens_left: int
    cost_left_usd_micros: int
    spec: bytes
    step: bytes
    project: str
    failures: int
    """Attempts that failed before; those that were lost or handed back do not count."""
    queue_wait_ms: int
    traceparent: str
    depth: int
    """How many delegations led to this step."""
    dependencies: Sequence[tuple[bytes, bytes]]
    """The `Step` and `StepOutput` messages of each dependency, in order."""
    delegated: Sequence[tuple[bytes, bytes]]
    """The same of the steps that earlier attempts delegated."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Attempts that were begun for this worker, and whether more waits for the agent in this partition."""

    assignments: Sequence[Assignment] = ()
    more: bool = False


Outcome = Literal["completed", "failed", "retried", "delegated", "lost"]
"""How an attempt ended. `lost`: it counts no more, and nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of recording the end of an attempt."""

    outcome: Outcome
    begun: Begun = Begun()
    task_state: int = 0
    """The state in which the task ended; 0 when it goes on."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Messages of the ready stream of one agent in one partition: id, task and `step@attempt` entries of each."""

    partition: int
    messages: Sequence[tuple[bytes, bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a look at a partition's clocks set off, and what is there now."""

    taken_over: int
    retried: int
    timed_out: int
    resent: int
    leased: int
    delayed: int
    open_tasks: Mapping[str, int]
    """By project."""
    ready: Mapping[str, int]
    """Messages in the ready streams, by agent."""
    waiting: Mapping[str, int]
    """Messages that wait behind them, by agent."""


Rooms = Mapping[str, int]
"""How many more steps of each agent the worker can begin."""


class AttemptStore:
    """Every method raises STORE_UNAVAILABLE while Redis is gone; all may be repeated."""

    def __init__(
        self,
        *,
        redis: RedisClient,
        partitions: Partitions,
        transitions: Transitions,
        worker_id: str,
        lease_ms: int,
        prices: Mapping[str, int],
        default_price: int,
    ) -> None:
        """`prices` are cost units of an attempt, by agent."""
        self._redis = redis
        self._partitions = partitions
        self._transitions = transitions
        self._worker_id = worker_id
        self._lease_ms = lease_ms
        self._prices = prices
        self._default_price = default_price

    async def join(self, agent: str) -> None:
        """Makes sure that the agent's streams and their group are there."""
        for partition in self._partitions.all():
            stream = self._partitions.key(partition, Key.READY, agent=agent)
            try:
                await self._redis.execute("XGROUP", "CREATE", stream, WORKER_GROUP, "0", "MKSTREAM")
            except ReplyError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            except OSError as error:
                raise store_unavailable(error) from None

    async def read_groups(self, agent: str) -> Sequence[Sequence[str]]:
        """The agent's streams, in groups that one blocking read can cover."""
        streams = [self._partitions.key(partition, Key.READY, agent=agent) for partition in self._partitions.all()]
        try:
            return await self._redis.read_groups(streams)
        except OSError as error:
            raise store_unavailable(error) from None

    async def deliveries(self, agent: str, streams: Sequence[str]) -> AsyncGenerator[Sequence[Delivery], None]:
        """What is delivered to this worker, one message a stream, as it is asked for; empty now and then.

        What arrives while it is being cancelled goes back to its queue.
        """
        read = ("XREADGROUP", "GROUP", WORKER_GROUP, CONSUMER, "COUNT", 1, "BLOCK", _BLOCK_MS, "STREAMS")
        try:
            async with self._redis.blocking(streams[0], reply_timeout_seconds=2 * _BLOCK_MS / 1000) as connection:
                client_id = await connection.identity()
                while True:
                    reading = asyncio.ensure_future(  # noqa: RUF006 - awaited at once
                        connection.execute(*read, *streams, *(">" for _ in streams))
                    )
                    try:
                        yield _deliveries(await asyncio.shield(reading))
                    except asyncio.CancelledError:
                        await self._return(agent, streams[0], client_id, reading)
                        raise
        except OSError as error:
            raise store_unavailable(error) from None

    async def _return(self, agent: str, stream: str, client_id: int, reading: "asyncio.Future[Any]") -> None:
        """Ends a blocked read and gives back what it brings after all."""
        with contextlib.suppress(OSError, TroupeError):  # then it is sent again when it was idle for long enough
            while not reading.done():
                await self._redis.unblock(stream, client_id)  # in vain before the read has reached Redis
                await asyncio.wait([reading], timeout=0.01)
            for delivery in _deliveries(reading.result()):
                await self.start(agent, delivery, room=0)
        await stop(reading)

    async def start(self, agent: str, delivery: Delivery, *, room: int) -> Begun:
        """Begins the steps of delivered messages, up to `room`; the others go back to the front of their queue."""
        arguments = {"messages": delivery.messages, **self._taking(agent, room)}
        return self._begun(delivery.partition, await self._transitions.run(delivery.partition, "start", arguments))

    async def take(self, agent: str, partition: int, *, room: int) -> Begun:
        """Begins what waits for an agent in a partition, up to `room` steps."""
        arguments = self._taking(agent, room)
        return self._begun(partition, await self._transitions.run(partition, "take", arguments))

    async def report(
        self, attempt: Attempt, *, first: int, events: Sequence[bytes], usage: Mapping[int, Sequence[int]]
    ) -> bool:
        """Appends events of a running attempt. False: the attempt counts no more.

        `first` events of the attempt went before; `usage` maps places in `events` to input tokens, output tokens, cost
        in micro-USD and model calls.
        """
        counts = [list(usage.get(i, (0, 0, 0, 0))) for i in range(len(events))]
        arguments = {**attempt.identity, "first": first, "events": list(events), "usage": counts}
        return await self._counts(attempt, "report", arguments)

    async def complete(self, attempt: Attempt, *, output: bytes, rooms: Rooms, take: bool) -> Ended:
        """Records the step's output, once, and begins what it lets go as far as there is room.

        `take`: the room of the attempt's own agent may be filled with other tasks' steps.
        """
        reply = await self._run(attempt, "complete", {"output": output}, rooms, take)
        return self._ended(attempt, reply, "completed")

    async def fail(self, attempt: Attempt, *, error: bytes, delay_ms: int | None, rooms: Rooms, take: bool) -> Ended:
        """Records a failed attempt. With a delay the step waits for its next attempt, without one the task fails."""
        reply = await self._run(attempt, "fail", {"error": error, "delay": delay_ms}, rooms, take)
        return self._ended(attempt, reply, "failed" if delay_ms is None else "retried")

    async def delegate(
        self,
        attempt: Attempt,
        *,
        steps: Sequence[NewStep],
        added: bytes,
        max_depth: int,
        max_steps: int,
        rooms: Rooms,
        take: bool,
    ) -> Ended | str:
        """Adds steps that the attempt's own step waits for; `added` is the encoded `StepsAdded`.

        Returns why they are refused, if they are.
        """
        arguments = {
            "steps": [step.arguments() for step in steps],
            "added": added,
            "max_depth": max_depth,
            "max_steps": max_steps,
        }
        reply = await self._run(attempt, "delegate", arguments, rooms, take)
        if reply[0] == b"refused":
            return _refusal(read(schema.Refused, reply), max_depth, max_steps)
        return self._ended(attempt, reply, "delegated")

    async def hand_back(self, attempt: Attempt) -> bool:
        """Makes the step ready again for another worker."""
        return await self._counts(attempt, "hand_back", attempt.identity)

    async def renew(self, partition: int, attempts: Sequence[Attempt]) -> Sequence[Attempt]:
        """Renews leases. Returns the attempts that count no more."""
        leases = [(attempt.task_id, attempt.step_id, attempt.number) for attempt in attempts]
        _, *lost = await self._transitions.run(partition, "renew", {"leases": leases, "lease": self._lease_ms})
        return [attempts[place] for place in lost]

    async def tick(self, partition: int, *, max_lost_leases: int, agents: Sequence[str]) -> Ticked:
        """Takes over expired leases, starts due retries, ends tasks past their deadline, forgets expired ones."""
        arguments = {
            "limit": _TICK_LIMIT,
            "max_lost_leases": max_lost_leases,
            "agents": list(agents),
            "lease": self._lease_ms,
        }
        ticked = read(schema.Ticked, await self._transitions.run(partition, "tick", arguments))
        return Ticked(
            taken_over=ticked.taken_over,
            retried=ticked.retried,
            timed_out=ticked.timed_out,
            resent=ticked.resent,
            leased=ticked.leased,
            delayed=ticked.delayed,
            open_tasks={project.decode(): int(count) for project, count in _pairs(ticked.open)},
            ready=dict(zip(agents, ticked.ready, strict=True)),
            waiting=dict(zip(agents, ticked.waiting, strict=True)),
        )

    async def _run(
        self, attempt: Attempt, operation: str, arguments: Mapping[str, Any], rooms: Rooms, take: bool
    ) -> Reply:
        whole = {
            **attempt.identity,
            **arguments,
            "agent": attempt.agent,
            "rooms": {agent: (room, self._price(agent)) for agent, room in rooms.items()},
            "take": take,
            "owner": self._worker_id,
            "lease": self._lease_ms,
        }
        return await self._transitions.run(attempt.partition, operation, whole)

    def _ended(self, attempt: Attempt, reply: Reply, outcome: Outcome) -> Ended:
        if reply[0] == b"lost":
            return Ended("lost")
        return Ended(outcome, self._begun(attempt.partition, reply), read(schema.Recorded, reply).task_state)

    def _taking(self, agent: str, room: int) -> Mapping[str, Any]:
        price = self._price(agent)
        return {"agent": agent, "room": room, "price": price, "owner": self._worker_id, "lease": self._lease_ms}

    def _price(self, agent: str) -> int:
        return self._prices.get(agent, self._default_price)

    @staticmethod
    def _begun(partition: int, reply: Reply) -> Begun:
        recorded = read(schema.Recorded, reply)
        return Begun([_assignment(partition, row) for row in recorded.begun], bool(recorded.more))

    async def _counts(self, attempt: Attempt, operation: str, arguments: Mapping[str, Any]) -> bool:
        reply = await self._transitions.run(attempt.partition, operation, arguments)
        return bool(reply[0] != b"lost")


def _assignment(partition: int, row: Sequence[Any]) -> Assignment:
    begun = read(schema.Begun, row)
    return Assignment(
        attempt=Attempt(begun.task, begun.step, begun.agent, begun.attempt, partition),
        time_left_ms=begun.time_left,
        tokens_left=begun.tokens,
        cost_left_usd_micros=begun.cost,
        spec=begun.spec,
        step=begun.message,
        project=begun.project,
        failures=begun.failures,
        queue_wait_ms=begun.waited,
        traceparent=begun.trace,
        depth=begun.depth,
        dependencies=_pairs(begun.dependencies),
        delegated=_pairs(begun.delegated),
    )


def _pairs(flat: Sequence[bytes]) -> Sequence[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _deliveries(reply: Any) -> Sequence[Delivery]:
    return [_delivery(stream, messages) for stream, messages in reply or ()]


def _delivery(stream: bytes, messages: Sequence[Any]) -> Delivery:
    # A message is its id and the fields `t`, task, `s`, entries.
    return Delivery(partition_of_key(stream), [(message_id, fields[1], fields[3]) for message_id, fields in messages])


def _refusal(refused: schema.Refused, max_depth: int, max_steps: int) -> str:
    if refused.bound == "depth":
        return f"delegations would be {refused.value} deep, and {max_depth} are allowed"
    if refused.bound == "steps":
        return f"the task would have {refused.value} steps, and {max_steps} are allowed"
    return f"the task has a step `{refused.value.decode()}` already; give delegated steps ids that were not used before"
