"""The history of a task, read in pieces.

A list of framed events: the event at index i has sequence `trimmed` + i + 1, where `trimmed`, a value of the task,
counts the oldest events that were dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.domain.states import TaskState
from orchestrator.store import fields
from orchestrator.store.partitions import Partitions
from orchestrator.store.resp import Command, RedisClient
from orchestrator.store.tasks import task_not_found
from orchestrator.store.transitions import store_unavailable
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError

# Clients with gRPC's default limits take 4 MiB; beyond this, larger messages make a replay no cheaper.
MESSAGE_BYTES: Final = 1 << 20
# A piece is asked for by number of events, so that its size is a guess from the piece before: about one message when
# the events go on as they were, and the first one small enough should they be large.
_PIECE_BYTES: Final = 768 << 10
_FIRST_EVENTS: Final = 32
_MOST_EVENTS: Final = 2_000
# No log gets there; Redis counts to 2^63 - 1 and refuses what reaches beyond.
_LAST_PLACE: Final = 1 << 62
_GROWTH: Final = 4


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Messages of framed events. `ended`: the task is over and nothing follows; `more`: the log goes on.

    `trimmed` counts the events that are kept no more; `next_events` is how many the next piece should have.
    """

    messages: Sequence[bytes]
    last_sequence: int
    more: bool
    ended: bool
    trimmed: int
    next_events: int


@dataclass(frozen=True, slots=True)
class NewestEvent:
    """The end of a log: the newest event, framed. `ended`: the task is over and the event is its terminal one."""

    frame: bytes
    sequence: int
    ended: bool


class History:
    """Reads logs. Every method raises STORE_UNAVAILABLE while Redis is gone."""

    def __init__(self, redis: RedisClient, partitions: Partitions) -> None:
        self._redis = redis
        self._partitions = partitions

    async def read_log(self, task_id: str, after_sequence: int, previous: LogPiece | None = None) -> LogPiece:
        """The next piece of the history behind a cursor; `previous` is the piece that ended there, if there is one.

        Raises:
            TroupeError: TASK_NOT_FOUND; CURSOR_OUT_OF_RANGE when the cursor is newer than the newest event, or what
                follows it is kept no more.
        """
        trimmed, events = (previous.trimmed, previous.next_events) if previous else (0, _FIRST_EVENTS)
        while True:
            start = min(max(0, after_sequence - trimmed), _LAST_PLACE)
            state, dropped, length, frames = await self._read(task_id, start, start + events - 1)
            newest = dropped + length
            if not dropped <= after_sequence <= newest:
                raise _out_of_range(task_id, after_sequence, dropped + 1, newest)
            if dropped == trimmed:
                break
            trimmed = dropped  # the log was trimmed since
        last = after_sequence + len(frames)
        return LogPiece(
            messages=_messages(frames),
            last_sequence=last,
            more=last < newest,
            ended=TaskState(state).is_final and last == newest,
            trimmed=trimmed,
            next_events=_next_events(frames),
        )

    async def newest(self, task_id: str) -> NewestEvent:
        """The newest event.

        Raises:
            TroupeError: TASK_NOT_FOUND.
        """
        state, dropped, length, frames = await self._read(task_id, -1, -1)
        return NewestEvent(b"".join(frames), dropped + length, TaskState(state).is_final)

    async def _read(self, task_id: str, start: int, stop: int) -> tuple[int, int, int, list[bytes]]:
        """State of the task, number of events dropped and kept, the events of a range of the list."""
        partition = self._partitions.of_task(task_id)
        if partition is None:
            raise task_not_found(task_id)
        key = f"{self._partitions.prefix(partition)}:task:{task_id}"
        commands: list[Command] = [
            ("HGET", key, "task"),
            ("LLEN", f"{key}:log"),
            ("LRANGE", f"{key}:log", start, stop),
        ]
        packed, length, frames = await self._atomically(commands)
        if packed is None:
            raise task_not_found(task_id)
        task = fields.unpack(fields.TASK, packed)
        return task["state"], task["trimmed"], length, frames

    async def _atomically(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._redis.execute_atomically(commands)
        except OSError as error:
            raise store_unavailable(error) from None


def _next_events(frames: Sequence[bytes]) -> int:
    """How many events to ask for next: as many as make a piece of the usual size, grown with care."""
    if not frames:
        return _FIRST_EVENTS
    usual = max(1, sum(map(len, frames)) // len(frames))
    return max(1, min(_PIECE_BYTES // usual, _GROWTH * len(frames), _MOST_EVENTS))


def _messages(frames: Sequence[bytes]) -> list[bytes]:
    """Frames put together to messages; one that is larger than a message should be goes alone."""
    messages: list[list[bytes]] = []
    size = MESSAGE_BYTES
    for frame in frames:
        if size + len(frame) > MESSAGE_BYTES:
            messages.append([])
            size = 0
        messages[-1].append(frame)
        size += len(frame)
    return [b"".join(message) for message in messages]


def _out_of_range(task_id: str, cursor: int, oldest: int, newest: int) -> TroupeError:
    if cursor > newest:
        problem = f"is newer than the newest event, {newest}, of task `{task_id}`"
    else:
        problem = f"is too old: task `{task_id}` keeps its events from {oldest} on; use {oldest - 1}"
    return TroupeError(
        ErrorReason.ERROR_REASON_CURSOR_OUT_OF_RANGE,
        f"`after_sequence` {cursor} {problem}",
        metadata={"oldest_sequence": str(oldest), "newest_sequence": str(newest)},
    )
