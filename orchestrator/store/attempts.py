"""Steps as a worker needs them: delivered, started, reported on, ended."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from orchestrator.store.partitions import Partitions, partition_of_key
from orchestrator.store.resp import RedisClient, ReplyError
from orchestrator.store.script import WORKER_GROUP
from orchestrator.store.transitions import Transitions, store_unavailable

_TICK_LIMIT: Final = 100
_BLOCK_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of a step, and the message that delivered it."""

    task_id: str
    step_id: str
    agent: str
    number: int
    partition: int
    stream: str
    message_id: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the script's fence looks at."""
        return {"task": self.task_id, "step": self.step_id, "attempt": self.number}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message of a ready stream: attempts of one agent that became ready together."""

    partition: int
    stream: str
    message_id: str
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an attempt needs to run. Messages are encoded; budgets are 0 when there is no bound."""

    time_left_ms: int
    tokens_left: int
    cost_left_usd_micros: int
    spec: bytes
    step: bytes
    project: str
    is_last: bool
    dependencies: Sequence[tuple[bytes, bytes]]
    """The `Step` and `StepOutput` messages of each dependency, in order."""


class NotStarted(Enum):
    """Why an attempt does not start."""

    STALE = "stale"
    """The step is done, or another attempt of it is due."""
    ELSEWHERE = "elsewhere"
    """Another worker runs this very attempt."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a look at a partition's clocks set off."""

    taken_over: int
    retried: int
    timed_out: int


class AttemptStore:
    """Every method raises STORE_UNAVAILABLE while Redis is gone; all may be repeated."""

    def __init__(
        self, *, redis: RedisClient, partitions: Partitions, transitions: Transitions, worker_id: str, lease_ms: int
    ) -> None:
        self._redis = redis
        self._partitions = partitions
        self._transitions = transitions
        self._worker_id = worker_id
        self._lease_ms = lease_ms

    async def join(self, agent: str) -> None:
        """Makes sure that the agent's streams and their group are there."""
        for partition in self._partitions.all():
            stream = self._partitions.ready_stream(partition, agent)
            try:
                await self._redis.execute("XGROUP", "CREATE", stream, WORKER_GROUP, "0", "MKSTREAM")
            except ReplyError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            except OSError as error:
                raise store_unavailable(error) from None

    async def deliveries(self, agent: str) -> AsyncGenerator[Delivery | None, None]:
        """The messages for an agent from any partition, one at a time as they are asked for.

        Yields None now and then, so that the caller can look at something else.
        """
        streams = [self._partitions.ready_stream(partition, agent) for partition in self._partitions.all()]
        read = ("XREADGROUP", "GROUP", WORKER_GROUP, self._worker_id, "COUNT", 1, "BLOCK", _BLOCK_MS, "STREAMS")
        try:
            async with self._redis.blocking(streams[0], reply_timeout_seconds=2 * _BLOCK_MS / 1000) as connection:
                while True:
                    reply = await connection.execute(*read, *streams, *(">" for _ in streams))
                    for stream, messages in reply or ():
                        for message_id, fields in messages:
                            yield _delivery(agent, stream, message_id, fields)
                    if not reply:
                        yield None
        except OSError as error:
            raise store_unavailable(error) from None

    async def reclaim(self, agent: str, *, idle_ms: int) -> list[Delivery]:
        """Takes over messages that were received and not acknowledged for a while.

        Their worker died before it started their steps, or the steps run on, and the script's fence says so.
        """
        streams = [self._partitions.ready_stream(partition, agent) for partition in self._partitions.all()]
        claim = (WORKER_GROUP, self._worker_id, idle_ms, "0-0", "COUNT", _TICK_LIMIT)
        try:
            replies = await self._redis.execute_all([("XAUTOCLAIM", stream, *claim) for stream in streams])
        except OSError as error:
            raise store_unavailable(error) from None
        return [
            _delivery(agent, stream.encode(), message_id, fields)
            for stream, (_, messages, *_) in zip(streams, replies, strict=True)
            for message_id, fields in messages
            if fields
        ]

    async def start(self, attempt: Attempt, event: bytes) -> Assignment | NotStarted:
        """Starts an attempt and takes its lease."""
        arguments = {**attempt.identity, "owner": self._worker_id, "lease": self._lease_ms, "event": event}
        status, *rest = await self._transitions.run(attempt.partition, "start", arguments)
        if status != b"started":
            return NotStarted(status.decode())
        time_left_ms, tokens, cost, spec, step, project, is_last, *dependencies = rest
        return Assignment(
            time_left_ms=time_left_ms,
            tokens_left=tokens,
            cost_left_usd_micros=cost,
            spec=spec,
            step=step,
            project=project.decode(),
            is_last=bool(is_last),
            dependencies=list(zip(dependencies[::2], dependencies[1::2], strict=True)),
        )

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

    async def complete(
        self, attempt: Attempt, *, event: bytes, output: bytes, result: bytes | None, acknowledge: bool
    ) -> bool:
        """Records the step's output, once. `result` is the encoded `TaskOutput` of a step that nothing depends on."""
        arguments = {**self._ended(attempt, acknowledge), "event": event, "output": output, "result": result}
        return await self._counts(attempt, "complete", arguments)

    async def fail(
        self, attempt: Attempt, *, event: bytes, error: bytes, delay_ms: int | None, acknowledge: bool
    ) -> bool:
        """Records a failed attempt. With a delay the step waits for its next attempt, without one the task fails."""
        arguments = {**self._ended(attempt, acknowledge), "event": event, "error": error, "delay": delay_ms}
        return await self._counts(attempt, "fail", arguments)

    async def hand_back(self, attempt: Attempt, *, acknowledge: bool) -> bool:
        """Makes the step ready again for another worker."""
        return await self._counts(attempt, "hand_back", self._ended(attempt, acknowledge))

    async def renew(self, attempt: Attempt) -> bool:
        """Renews the lease. False: the attempt counts no more."""
        return await self._counts(attempt, "renew", {**attempt.identity, "lease": self._lease_ms})

    async def acknowledge(self, delivery: Delivery) -> None:
        """Forgets a message whose steps are all settled."""
        arguments = {"stream": delivery.stream, "message": delivery.message_id}
        await self._transitions.run(delivery.partition, "acknowledge", arguments)

    async def tick(self, partition: int, *, max_lost_leases: int) -> Ticked:
        """Takes over expired leases, starts due retries and ends tasks past their deadline."""
        arguments = {"limit": _TICK_LIMIT, "max_lost_leases": max_lost_leases}
        _, *counts = await self._transitions.run(partition, "tick", arguments)
        return Ticked(*counts)

    async def _counts(self, attempt: Attempt, operation: str, arguments: Mapping[str, Any]) -> bool:
        reply = await self._transitions.run(attempt.partition, operation, arguments)
        return bool(reply[0] != b"lost")

    @staticmethod
    def _ended(attempt: Attempt, acknowledge: bool) -> dict[str, Any]:
        message = attempt.message_id if acknowledge else ""
        return {**attempt.identity, "stream": attempt.stream, "message": message}


def _delivery(agent: str, stream: bytes, message_id: bytes, fields: Sequence[bytes]) -> Delivery:
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    partition, key, message = partition_of_key(stream), stream.decode(), message_id.decode()
    attempts = []
    for entry in values[b"s"].decode().split(","):
        step_id, _, number = entry.partition("@")
        attempts.append(Attempt(values[b"t"].decode(), step_id, agent, int(number), partition, key, message))
    return Delivery(partition, key, message, attempts)
