"""Tasks as the API needs them: stored, read, listed, cancelled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.task_pb2 import StepState
from troupe.core.errors import TroupeError
from troupe.orchestrator.redis.client import Command, RedisClient
from troupe.orchestrator.store.listing import Cursor, Listing
from troupe.orchestrator.store.new_step import NewStep
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key, StepBase, StepRow, TaskBase, TaskRow, unpack
from troupe.orchestrator.store.transitions import Transitions, store_unavailable

# What lists show of a task.
_LISTED: Final = ("task", "base", "spec", "error")
# Decisions about approvals, as stored.
APPROVE: Final = "approve"
REJECT: Final = "reject"
# Tasks whose state is looked at in one go.
_SCANNED: Final = 256
# How often, for one page.
_SCANS: Final = 8


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long what is kept of a task: the ended task, its request id, and the newest events of a long history."""

    retention_ms: int
    request_ttl_ms: int
    events: int


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be stored. Bytes are encoded messages; `events` lack sequence and time."""

    task_id: str
    base: TaskBase
    request_id: str
    request_ttl_ms: int
    body_hash: bytes
    spec: bytes
    plan: bytes
    steps: Sequence[NewStep]
    events: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A task as stored. `fields` are those of its hash; messages are encoded."""

    task_id: str
    row: TaskRow
    base: TaskBase
    fields: Mapping[str, bytes]

    @classmethod
    def of(cls, task_id: str, found: Mapping[str, bytes]) -> "StoredTask":
        """The task of a hash."""
        return cls(task_id, unpack(TaskRow, found["task"]), unpack(TaskBase, found["base"]), found)

    @property
    def order(self) -> Sequence[str]:
        """The ids of its steps."""
        return self.fields["order"].decode().split(",")

    def output(self, step_id: str) -> bytes:
        """The encoded output of a step, empty when there is none."""
        return self.fields.get(f"{step_id}:out", b"")

    def step(self, step_id: str) -> tuple[StepRow, StepBase]:
        """A step: what changes of it, and what does not."""
        row, base = self.fields[f"{step_id}:now"], self.fields[f"{step_id}:base"]
        return unpack(StepRow, row), unpack(StepBase, base)


@dataclass(frozen=True, slots=True)
class Page:
    """Tasks with their creation time in ms, and where the next page begins; None on the last."""

    tasks: Sequence[tuple[int, StoredTask]]
    next: Cursor | None


class TaskStore:
    """Reads and changes tasks. Every method raises STORE_UNAVAILABLE while Redis is gone."""

    def __init__(self, *, redis: RedisClient, partitions: Partitions, transitions: Transitions) -> None:
        self._redis = redis
        self._partitions = partitions
        self._transitions = transitions

    async def submit(self, task: NewTask) -> str:
        """Stores a task and makes its first steps ready, at once.

        Returns the id of the task, or of the earlier one with the same request id.

        Raises:
            TroupeError: REQUEST_ID_REUSED when that one has another body.
        """
        arguments = {
            "task": task.task_id,
            "base": task.base,
            "request_id": task.request_id,
            "body": task.body_hash,
            "spec": task.spec,
            "plan": task.plan,
            "steps": [step.arguments() for step in task.steps],
            "events": list(task.events),
            "request_ttl": task.request_ttl_ms,
        }
        status, task_id = await self._transitions.run(self._partition(task.task_id), "submit", arguments)
        found: str = task_id.decode()
        if status == b"reused":
            raise _request_id_reused(task.request_id, found)
        return found

    async def earlier(self, task: NewTask) -> str | None:
        """The id of the earlier task with the same request id; None when there is none. Raises as `submit` does."""
        partition = self._partition(task.task_id)
        key = self._partitions.key(partition, Key.REQUEST, project=task.base.project, request=task.request_id)
        (found,) = await self._all([("GET", key)])
        if found is None:
            return None
        task_id, _, body = found.partition(b" ")
        if body != task.body_hash:
            raise _request_id_reused(task.request_id, task_id.decode())
        return str(task_id.decode())

    async def get(self, task_id: str) -> StoredTask:
        """Reads a task."""
        (found,) = await self._all([("HGETALL", self._key(task_id))])
        if not found:
            raise task_not_found(task_id)
        return StoredTask.of(task_id, dict(_pairs(found)))

    async def newest(self, project: str, *, size: int, before: Cursor | None, states: Sequence[int]) -> Page:
        """A page of tasks, newest first; `before` is where the page before ended.

        A page whose filter leaves out most tasks may be short, or empty, and not the last.
        """
        indexes = [self._partitions.key(partition, Key.INDEX, owner=project) for partition in self._partitions.all()]
        listing = Listing(self._redis, indexes, before)
        count = _SCANNED if states else size + 1
        found: list[tuple[int, StoredTask]] = []
        for _ in range(_SCANS if states else 1):
            rows = await self._next(listing, count)
            wanted = await self._in_states(rows, states) if states else rows
            found += await self._listed(project, wanted[: size + 1 - len(found)])
            if len(found) > size:
                return Page(found[:size], (found[size - 1][0], found[size - 1][1].task_id))
            if len(rows) < count:
                return Page(found, None)
        return Page(found, rows[-1])

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

    async def retry(self, task_id: str, *, request_id: str) -> None:
        """Takes up a failed task from the steps that did not complete.

        Raises:
            TroupeError: TASK_NOT_FOUND, or INVALID_TASK_STATE unless it failed.
        """
        arguments = {"task": task_id, "request_id": request_id, "reject": REJECT}
        status, *_ = await self._transitions.run(self._partition(task_id), "retry", arguments)
        if status == b"missing":
            raise task_not_found(task_id)
        if status == b"not_failed":
            raise TroupeError(
                ErrorReason.ERROR_REASON_INVALID_TASK_STATE,
                f"task `{task_id}` has not failed; only failed tasks can be taken up again",
            )

    async def resolve(self, task_id: str, step_id: str, *, approve: bool, resolved: bytes) -> None:
        """Records a person's decision about a step; `resolved` is the encoded `ApprovalResolved`.

        Raises:
            TroupeError: TASK_NOT_FOUND, STEP_NOT_FOUND, or INVALID_TASK_STATE when the step does not wait for one.
        """
        decision = APPROVE if approve else REJECT
        arguments = {"task": task_id, "step": step_id, "decision": decision, "rejected": not approve}
        reply = await self._transitions.run(self._partition(task_id), "resolve", {**arguments, "resolved": resolved})
        if reply[0] == b"missing":
            raise task_not_found(task_id)
        if reply[0] == b"no_step":
            raise TroupeError(
                ErrorReason.ERROR_REASON_STEP_NOT_FOUND,
                f"task `{task_id}` has no step `{step_id}`; `GetTask` lists its steps",
            )
        if reply[0] == b"not_waiting":
            state = StepState.Name(StepState.ValueType(int(reply[1]))).removeprefix("STEP_STATE_")
            raise TroupeError(
                ErrorReason.ERROR_REASON_INVALID_TASK_STATE,
                f"step `{step_id}` of task `{task_id}` waits for no approval: it is {state}",
            )

    async def open_tasks(self, project: str) -> tuple[int, int]:
        """How many tasks have not ended: in all, and of a project."""
        keys = [self._partitions.key(partition, Key.OPEN) for partition in self._partitions.all()]
        counts = [dict(_pairs(row)) for row in await self._all([("HGETALL", key) for key in keys])]
        in_all = sum(int(count) for row in counts for count in row.values())
        return in_all, sum(int(row.get(project, 0)) for row in counts)

    async def metrics(self, task_id: str) -> bytes:
        """The task's encoded `TaskMetrics`."""
        reply = await self._transitions.run(self._partition(task_id), "metrics", {"task": task_id})
        if reply[0] == b"missing":
            raise task_not_found(task_id)
        encoded: bytes = reply[1]
        return encoded

    async def _next(self, listing: Listing, count: int) -> Sequence[Cursor]:
        try:
            return await listing.next(count)
        except OSError as error:
            raise store_unavailable(error) from None

    async def _in_states(self, rows: Sequence[Cursor], states: Sequence[int]) -> Sequence[Cursor]:
        """The tasks of a page that are in one of some states; those that have expired meanwhile are left out."""
        read = await self._all([("HGET", self._key(task_id), "task") for _, task_id in rows])
        wanted = frozenset(states)
        return [row for row, task in zip(rows, read, strict=True) if task and unpack(TaskRow, task).state in wanted]

    async def _listed(self, project: str, rows: Sequence[Cursor]) -> list[tuple[int, StoredTask]]:
        """The tasks of a page as far as lists show them; one that has expired meanwhile leaves the index."""
        read = await self._all([("HMGET", self._key(task_id), *_LISTED) for _, task_id in rows])
        found, expired = [], []
        for (created_ms, task_id), values in zip(rows, read, strict=True):
            known = {name: value for name, value in zip(_LISTED, values, strict=True) if value is not None}
            if known:
                found.append((created_ms, StoredTask.of(task_id, known)))
            else:
                index = self._partitions.key(self._partition(task_id), Key.INDEX, owner=project)
                expired.append(("ZREM", index, task_id))
        if expired:
            await self._all(expired)
        return found

    def _partition(self, task_id: str) -> int:
        partition = self._partitions.of_task(task_id)
        if partition is None:
            raise task_not_found(task_id)
        return partition

    def _key(self, task_id: str) -> str:
        return self._partitions.key(self._partition(task_id), Key.TASK, task=task_id)

    async def _all(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._redis.execute_all(commands)
        except OSError as error:
            raise store_unavailable(error) from None


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Names and values that Redis sends one behind the other."""
    return ((name.decode(), value) for name, value in zip(flat[::2], flat[1::2], strict=True))


def _request_id_reused(request_id: str, task_id: str) -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
        f"`request_id` {request_id!r} was used for task `{task_id}` with another body; choose a new one",
        metadata={"task_id": task_id},
    )


def task_not_found(task_id: str) -> TroupeError:
    """No task has this id."""
    return TroupeError(
        ErrorReason.ERROR_REASON_TASK_NOT_FOUND,
        f"there is no task `{task_id}`: the id is wrong, or the task ended longer ago than tasks are kept",
    )
