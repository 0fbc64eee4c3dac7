"""Tasks as the API needs them: stored, read, listed, cancelled."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.store.partitions import Partitions
from orchestrator.store.resp import Command, RedisClient
from orchestrator.store.transitions import Transitions, store_unavailable
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.core.errors import TroupeError

_TERMINAL: Final = frozenset(
    {TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELLED}
)
# A replay is read in pieces of about this size, and sent in messages that clients with default limits take.
_PIECE_EVENTS: Final = 1_000
_PIECE_BYTES: Final = 512 << 10
_MESSAGE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step to be stored."""

    step_id: str
    agent: str
    message: bytes
    depends_on: Sequence[str]


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be stored. Bytes are encoded messages; `events` lack sequence and time."""

    task_id: str
    project: str
    request_id: str
    body_hash: bytes
    spec: bytes
    plan: bytes
    steps: Sequence[NewStep]
    events: Sequence[bytes]
    plan_us: int
    timeout_ms: int
    max_tokens: int
    max_cost_usd_micros: int


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A task as stored: the fields of its hash and, by step id, the outputs of its steps."""

    task_id: str
    fields: Mapping[str, bytes]
    outputs: Mapping[str, bytes]
    last_sequence: int


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Messages of framed events. `ended`: the task is over and nothing follows; `more`: the log goes on."""

    messages: Sequence[bytes]
    last_sequence: int
    more: bool
    ended: bool


class TaskStore:
    """Reads and changes tasks. Every method raises STORE_UNAVAILABLE while Redis is gone."""

    def __init__(
        self,
        *,
        redis: RedisClient,
        partitions: Partitions,
        transitions: Transitions,
        retention_ms: int,
        request_ttl_ms: int,
    ) -> None:
        self._redis = redis
        self._partitions = partitions
        self._transitions = transitions
        self._retention_ms = retention_ms
        self._request_ttl_ms = request_ttl_ms

    async def submit(self, task: NewTask) -> str:
        """Stores a task and makes its first steps ready, at once.

        Returns the id of the task, or of the earlier one with the same request id.

        Raises:
            TroupeError: REQUEST_ID_REUSED when that one has another body.
        """
        arguments = {
            "task": task.task_id,
            "project": task.project,
            "request_id": task.request_id,
            "body": task.body_hash,
            "spec": task.spec,
            "plan": task.plan,
            "steps": [
                {"id": s.step_id, "agent": s.agent, "message": s.message, "deps": ",".join(s.depends_on)}
                for s in task.steps
            ],
            "events": list(task.events),
            "plan_us": task.plan_us,
            "timeout": task.timeout_ms,
            "max_tokens": task.max_tokens,
            "max_cost": task.max_cost_usd_micros,
            "retention": self._retention_ms,
            "request_ttl": self._request_ttl_ms,
        }
        status, task_id = await self._transitions.run(self._partition(task.task_id), "submit", arguments)
        if status == b"reused":
            raise TroupeError(
                ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
                f"`request_id` {task.request_id!r} was used for task `{task_id.decode()}` with another body;"
                " choose a new one",
                metadata={"task_id": task_id.decode()},
            )
        found: str = task_id.decode()
        return found

    async def get(self, task_id: str, *, outputs: bool) -> StoredTask:
        """Reads a task."""
        key = self._key(task_id)
        commands: list[Command] = [("HGETALL", key), ("LLEN", f"{key}:log")]
        if outputs:
            commands.append(("HGETALL", f"{key}:out"))
        fields, length, *rest = await self._atomically(commands)
        if not fields:
            raise task_not_found(task_id)
        produced = {name: value for name, value in _pairs(rest[0] if rest else []) if not name.startswith("!")}
        return StoredTask(task_id, dict(_pairs(fields)), produced, length)

    async def newest(
        self, project: str, *, size: int, before: tuple[int, str] | None, states: Sequence[int]
    ) -> list[tuple[int, StoredTask]]:
        """Up to `size` tasks, newest first, with their creation time in ms; `before` is where the page before ended."""
        found: list[tuple[int, StoredTask]] = []
        while len(found) < size:
            ids = await self._page(project, size, before)
            for created_ms, task_id in ids:
                before = (created_ms, task_id)
                try:
                    task = await self.get(task_id, outputs=False)
                except TroupeError as error:
                    if error.reason != ErrorReason.ERROR_REASON_TASK_NOT_FOUND:
                        raise
                    await self._forget(project, task_id)
                    continue
                if not states or int(task.fields["state"]) in states:
                    found.append((created_ms, task))
                if len(found) == size:
                    break
            if len(ids) < size:
                break
        return found

    async def cancel(self, task_id: str, *, after_step: bool, reason: str) -> None:
        """Cancels a task.

        Raises:
            TroupeError: TASK_NOT_FOUND, or INVALID_TASK_STATE when it has completed or failed.
        """
        arguments = {"task": task_id, "after_step": after_step, "reason": reason}
        (status,) = await self._transitions.run(self._partition(task_id), "cancel", arguments)
        if status == b"missing":
            raise task_not_found(task_id)
        if status == b"ended":
            raise TroupeError(
                ErrorReason.ERROR_REASON_INVALID_TASK_STATE,
                f"task `{task_id}` has ended already; only tasks that are under way can be cancelled",
            )

    async def metrics(self, task_id: str) -> bytes:
        """The task's encoded `TaskMetrics`."""
        reply = await self._transitions.run(self._partition(task_id), "metrics", {"task": task_id})
        if reply[0] == b"missing":
            raise task_not_found(task_id)
        encoded: bytes = reply[1]
        return encoded

    async def read_log(self, task_id: str, after_sequence: int) -> LogPiece:
        """The next piece of the history behind a cursor.

        Raises:
            TroupeError: TASK_NOT_FOUND; CURSOR_OUT_OF_RANGE when the cursor is newer than the newest event.
        """
        arguments = {"task": task_id, "after": after_sequence, "bytes": _PIECE_BYTES, "events": _PIECE_EVENTS}
        status, *rest = await self._transitions.run(self._partition(task_id), "read", arguments)
        if status == b"missing":
            raise task_not_found(task_id)
        state, length, *frames = rest
        if after_sequence > length:
            raise TroupeError(
                ErrorReason.ERROR_REASON_CURSOR_OUT_OF_RANGE,
                f"`after_sequence` {after_sequence} is newer than the newest event, {length}, of task `{task_id}`",
                metadata={"oldest_sequence": "1", "newest_sequence": str(length)},
            )
        last = after_sequence + len(frames)
        return LogPiece(_messages(frames), last, more=last < length, ended=state in _TERMINAL and last == length)

    async def _page(self, project: str, size: int, before: tuple[int, str] | None) -> list[tuple[int, str]]:
        newest = "+inf" if before is None else str(before[0])
        # Tasks of the same millisecond as the cursor come again and are dropped below.
        limits: Command = (newest, "-inf", "WITHSCORES", "LIMIT", 0, size + 64)
        keys = [f"{self._partitions.prefix(partition)}:index:{project}" for partition in self._partitions.all()]
        pages = await self._all([("ZREVRANGEBYSCORE", key, *limits) for key in keys])
        rows = ((int(score), task_id) for page in pages for task_id, score in _pairs(page))
        return heapq.nlargest(size, (row for row in rows if before is None or row < before))

    async def _forget(self, project: str, task_id: str) -> None:
        """Drops an expired task from the index."""
        index = f"{self._partitions.prefix(self._partition(task_id))}:index:{project}"
        await self._all([("ZREM", index, task_id)])

    def _partition(self, task_id: str) -> int:
        partition = self._partitions.of_task(task_id)
        if partition is None:
            raise task_not_found(task_id)
        return partition

    def _key(self, task_id: str) -> str:
        return f"{self._partitions.prefix(self._partition(task_id))}:task:{task_id}"

    async def _all(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._redis.execute_all(commands)
        except OSError as error:
            raise store_unavailable(error) from None

    async def _atomically(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._redis.execute_atomically(commands)
        except OSError as error:
            raise store_unavailable(error) from None


def _messages(frames: Sequence[bytes]) -> list[bytes]:
    """Frames put together to messages; one that is larger than a message should be goes alone."""
    messages: list[list[bytes]] = []
    size = _MESSAGE_BYTES
    for frame in frames:
        if size + len(frame) > _MESSAGE_BYTES:
            messages.append([])
            size = 0
        messages[-1].append(frame)
        size += len(frame)
    return [b"".join(message) for message in messages]


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Names and values that Redis sends one behind the other."""
    return ((name.decode(), value) for name, value in zip(flat[::2], flat[1::2], strict=True))


def task_not_found(task_id: str) -> TroupeError:
    """No task has this id."""
    return TroupeError(
        ErrorReason.ERROR_REASON_TASK_NOT_FOUND,
        f"there is no task `{task_id}`: the id is wrong, or the task ended longer ago than tasks are kept",
    )
