"""The history of a task, read in pieces.

A list of framed events: the event at index i has sequence `trimmed` + i + 1, where `trimmed`, a value of the task,
counts the oldest events that were dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.core.errors import TroupeError
from troupe.orchestrator.redis.client import Command, RedisClient
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key, TaskRow, unpack
from troupe.orchestrator.store.tasks import task_not_found
from troupe.orchestrator.store.transitions import store_unavailable

FINAL_TASK_STATES: Final = frozenset(
    (TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELLED)
)

# Who does not read costs twice a message, once here and once in gRPC. Only an event that is larger itself makes a
# message larger than this, unless more is asked for.
MESSAGE_BYTES: Final = 64 << 10
# Clients with gRPC's default limits take 4 MiB; beyond this, larger messages make a replay no cheaper.
MOST_BYTES: Final = 512 << 10
# A piece is asked for by number of events too: a guess from the piece before.
_FIRST_EVENTS: Final = 32
_MOST_EVENTS: Final = 2_000
# No log gets there; Redis counts to 2^63 - 1 and refuses what reaches beyond.
_LAST_PLACE: Final = 1 << 62
_GROWTH: Final = 4
# `TaskEvent.event_time`: tag and length, then seconds and nanos, which take no more.
_TIME_TAG: Final = 3 << 3 | 2
_MARK_BYTES: Final = 14
# Of a log that is no larger any range is read as it is, and what is too much dropped.
_SMALL_LOG_BYTES: Final = 8 << 20
# Reads a range of a list until a message is full, which costs more than reading it as it is, but no more memory than
# that; and about how much the whole list holds, where Redis tells.
_RANGE: Final = """
local at, stop, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local frames, size, step = {}, 0, 4
while at <= stop and size < most do
  local part = redis.call('LRANGE', KEYS[1], at, math.min(at + step - 1, stop))
  if #part == 0 then break end
  for _, frame in ipairs(part) do
    size = size + #frame
    if size > most and #frames > 0 then break end
    frames[#frames + 1] = frame
  end
  at = at + #part
  step = math.max(1, math.min(512, math.floor(65536 * #frames / size)))
end
local usage = redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', '0')
return {type(usage) == 'number' and usage or -1, frames}
"""


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A message of framed events. `ended`: the task is over and nothing follows; `more`: the log goes on.

    `trimmed` counts the events that are kept no more, `count` those of the message, which has `size_bytes`; `is_small`
    says whether all of the log is.
    """

    message: bytes
    last_sequence: int
    more: bool
    ended: bool
    trimmed: int
    count: int
    size_bytes: int
    is_small: bool

    def without_message(self) -> "LogPiece":
        """What the next read needs of it."""
        return replace(self, message=b"")


@dataclass(frozen=True, slots=True)
class NewestEvent:
    """The end of a log: the newest event, framed. `ended`: the task is over and the event is its terminal one."""

    frame: bytes
    sequence: int
    ended: bool


def mark_of(frames: bytes) -> bytes:
    """What tells the last of some framed events from another of the same sequence: when it was recorded.

    The store puts that behind all else of an event. It is the epoch of a history's end: an event that was lost and one
    that was written in its place never have it in common.
    """
    return frames[-_MARK_BYTES:]


def mark_at(time: Timestamp) -> bytes:
    """The same, of an event that was recorded at a time."""
    encoded = time.SerializeToString()
    return bytes([_TIME_TAG, len(encoded)]) + encoded


class History:
    """Reads logs. Every method raises STORE_UNAVAILABLE while Redis is gone."""

    def __init__(self, redis: RedisClient, partitions: Partitions) -> None:
        self._redis = redis
        self._partitions = partitions

    async def read_log(
        self,
        task_id: str,
        after_sequence: int,
        previous: LogPiece | None = None,
        *,
        message_bytes: int = MESSAGE_BYTES,
    ) -> LogPiece:
        """The next piece of the history behind a cursor; `previous` is the piece that ended there, if there is one.

        Raises:
            TroupeError: TASK_NOT_FOUND; CURSOR_OUT_OF_RANGE when the cursor is newer than the newest event, or what
                follows it is kept no more.
        """
        trimmed, is_small = (previous.trimmed, previous.is_small) if previous is not None else (0, False)
        events = _events_to_ask_for(previous, message_bytes)
        while True:
            start = min(max(0, after_sequence - trimmed), _LAST_PLACE)
            state, dropped, length, frames, log_bytes = await self._read(
                task_id, start, start + events - 1, at_most=None if is_small else message_bytes
            )
            newest = dropped + length
            if not dropped <= after_sequence <= newest:
                raise _out_of_range(task_id, after_sequence, dropped + 1, newest)
            if dropped == trimmed:
                break
            trimmed = dropped  # the log was trimmed since
        frames = _first_message(frames, message_bytes)
        last = after_sequence + len(frames)
        message = b"".join(frames)
        return LogPiece(
            message=message,
            last_sequence=last,
            more=last < newest,
            ended=state in FINAL_TASK_STATES and last == newest,
            trimmed=trimmed,
            count=len(frames),
            size_bytes=len(message),
            is_small=is_small or 0 < log_bytes <= _SMALL_LOG_BYTES,
        )

    async def check_place(self, task_id: str, sequence: int, mark: bytes) -> None:
        """Checks that the event of a sequence is the one that its `mark` was taken of.

        Raises:
            TroupeError: HISTORY_CHANGED; the store lost its end, the event with it. TASK_NOT_FOUND.
        """
        task_key, log_key = self._keys(task_id)
        trimmed = 0
        while True:
            commands: list[Command] = [
                ("HGET", task_key, "task"),
                ("LLEN", log_key),
                ("LINDEX", log_key, max(0, sequence - trimmed - 1)),
            ]
            packed, length, frame = await self._atomically(commands)
            if packed is None:
                raise task_not_found(task_id)
            dropped = unpack(TaskRow, packed).trimmed
            if dropped == trimmed:
                break
            trimmed = dropped
        if sequence > trimmed and not (frame or b"").endswith(mark):  # what was dropped cannot be compared
            raise _changed(task_id, sequence, trimmed + 1, trimmed + length)

    async def newest(self, task_id: str) -> NewestEvent:
        """The newest event.

        Raises:
            TroupeError: TASK_NOT_FOUND.
        """
        state, dropped, length, frames, _ = await self._read(task_id, -1, -1, at_most=None)
        return NewestEvent(b"".join(frames), dropped + length, state in FINAL_TASK_STATES)

    async def _read(
        self, task_id: str, start: int, stop: int, *, at_most: int | None
    ) -> tuple[int, int, int, list[bytes], int]:
        """State of the task, number of events dropped and kept, the events of a range of the list, size of the log.

        With `at_most` the events are cut behind so many bytes; the size is -1 where it was not asked for.
        """
        task_key, log_key = self._keys(task_id)
        commands: list[Command] = [
            ("HGET", task_key, "task"),
            ("LLEN", log_key),
            ("LRANGE", log_key, start, stop) if at_most is None else ("EVAL", _RANGE, 1, log_key, start, stop, at_most),
        ]
        packed, length, found = await self._atomically(commands)
        if packed is None:
            raise task_not_found(task_id)
        task = unpack(TaskRow, packed)
        log_bytes, frames = (-1, found) if at_most is None else found
        return task.state, task.trimmed, length, frames, log_bytes

    def _keys(self, task_id: str) -> tuple[str, str]:
        """Those of the task and its log."""
        partition = self._partitions.of_task(task_id)
        if partition is None:
            raise task_not_found(task_id)
        key = self._partitions.key
        return key(partition, Key.TASK, task=task_id), key(partition, Key.LOG, task=task_id)

    async def _atomically(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._redis.execute_atomically(commands)
        except OSError as error:
            raise store_unavailable(error) from None


def _events_to_ask_for(previous: LogPiece | None, message_bytes: int) -> int:
    """As many as make a message, grown with care."""
    if previous is None or not previous.count:
        return _FIRST_EVENTS
    usual = max(1, previous.size_bytes // previous.count)
    return max(1, min(message_bytes // usual, _GROWTH * previous.count, _MOST_EVENTS))


def _first_message(frames: list[bytes], message_bytes: int) -> list[bytes]:
    """The frames that make one message: the first always, however large."""
    size = 0
    for count, frame in enumerate(frames):
        size += len(frame)
        if count and size > message_bytes:
            return frames[:count]
    return frames


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


def _changed(task_id: str, cursor: int, oldest: int, newest: int) -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_HISTORY_CHANGED,
        f"the store lost the end of the history of task `{task_id}`: event {cursor} is no longer the one that you have;"
        " watch the task again from the start",
        metadata={"oldest_sequence": str(oldest), "newest_sequence": str(newest)},
    )
