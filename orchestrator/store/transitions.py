"""Runs transitions: those that are asked for while one batch of a partition is under way travel as the next."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgpack
from prometheus_client import Counter

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.core.background import stop
from troupe.core.errors import TroupeError
from troupe.orchestrator import metrics
from troupe.orchestrator.redis.client import RedisClient, RefusedError, ReplyError
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.script import script_digest, script_text

Reply = Sequence[Any]

# Keeps a batch from holding Redis for more than a few milliseconds.
_BATCH: Final = 64
# Redis refused the script's first write, so that nothing was changed; it takes writes again when it has room, or its
# replicas, or its disk.
_NOT_NOW: Final = ("OOM ", "NOREPLICAS ", "MISCONF ", "READONLY ")


@dataclass(frozen=True, slots=True)
class _Call:
    payload: bytes
    reply: asyncio.Future[Reply]


class Transitions:
    """Calls the script. Use as a context manager; calls that are open at its end are cancelled."""

    def __init__(
        self, *, redis: RedisClient, partitions: Partitions, wait_replicas: int = 0, wait_timeout_ms: int = 0
    ) -> None:
        """`wait_replicas`: how many replicas must have a transition before it counts as done."""
        self._redis = redis
        self._wait = (wait_replicas, wait_timeout_ms)
        self._partitions = partitions
        self._queues: dict[int, deque[_Call]] = defaultdict(deque)
        self._senders: dict[int, asyncio.Task[None]] = {}

    async def __aenter__(self) -> "Transitions":
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop(*self._senders.values())

    async def run(self, partition: int, operation: str, arguments: Mapping[str, Any]) -> Reply:
        """Runs one transition and returns the script's answer.

        Raises:
            TroupeError: STORE_UNAVAILABLE; the transition may or may not have happened, repeating it does no harm.
                INTERNAL: the script itself failed, which is a defect.
        """
        _counted(operation).inc()
        payload: bytes = msgpack.packb({"op": operation, **arguments}, use_bin_type=False)
        call = _Call(payload, asyncio.get_running_loop().create_future())
        self._queues[partition].append(call)
        if partition not in self._senders:
            self._senders[partition] = asyncio.create_task(self._send(partition))
        reply = await call.reply
        if reply[0] == b"error":
            raise _failure(operation, reply[1].decode().strip())
        return reply

    async def _send(self, partition: int) -> None:
        queue = self._queues[partition]
        try:
            while queue:
                batch = [queue.popleft() for _ in range(min(len(queue), _BATCH))]
                await self._send_batch(partition, batch)
        finally:
            for call in queue:
                call.reply.cancel()
            queue.clear()
            del self._senders[partition]

    async def _send_batch(self, partition: int, batch: Sequence[_Call]) -> None:
        metrics.BATCH_SIZE.observe(len(batch))
        try:
            *replies, ended = await self._evaluate(self._partitions.prefix(partition), [call.payload for call in batch])
        except OSError as error:
            for call in batch:
                if not call.reply.done():
                    call.reply.set_exception(store_unavailable(error))
        except ReplyError as error:
            for call in batch:
                if not call.reply.done():
                    problem = f"Redis refused a transition: {error}"
                    call.reply.set_exception(TroupeError(ErrorReason.ERROR_REASON_INTERNAL, problem))
        except BaseException:
            for call in batch:
                call.reply.cancel()
            raise
        else:
            for state in ended:
                _ended(state).inc()
            for call, reply in zip(batch, replies, strict=True):
                if not call.reply.done():
                    call.reply.set_result(reply)

    async def _evaluate(self, prefix: str, payloads: Sequence[bytes]) -> Sequence[Reply]:
        try:
            replies: Sequence[Reply] = await self._execute("EVALSHA", script_digest(), 1, prefix, *payloads)
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            # A Redis that is new or was restarted: nothing ran. EVAL makes it know the script.
            replies = await self._execute("EVAL", script_text(), 1, prefix, *payloads)
        return replies

    async def _execute(self, *command: str | bytes | int) -> Any:
        if self._wait[0]:
            return await self._redis.execute_replicated(*self._wait, *command)
        return await self._redis.execute(*command)


def _failure(operation: str, problem: str) -> TroupeError:
    if any(refusal in problem for refusal in _NOT_NOW):
        return store_unavailable(RefusedError(problem))
    return TroupeError(ErrorReason.ERROR_REASON_INTERNAL, f"transition `{operation}` failed in Redis: {problem}")


@cache
def _counted(operation: str) -> Counter:
    return metrics.TRANSITIONS.labels(operation)


@cache
def _ended(state: int) -> Counter:
    name = TaskState.Name(TaskState.ValueType(state))
    return metrics.TASKS_ENDED.labels(name.removeprefix("TASK_STATE_").lower())


def store_unavailable(error: BaseException) -> TroupeError:
    """What a lost Redis, or one that refuses for now, means to callers."""
    told = str(error) if getattr(error, "refusal", "") else f"Redis does not answer ({error or type(error).__name__})"
    return TroupeError(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, f"{told}; it is tried again, and so can you")
