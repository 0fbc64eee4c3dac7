"""The hub: one tail of the history feeds every watcher of this process.

The tail is a doorbell and a cache; the truth is the log. A watcher that falls behind, or that misses something because
the tail was cut, reads the log again: it loses nothing and holds no memory.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from orchestrator.store.partitions import Partitions
from orchestrator.store.resp import RedisClient
from orchestrator.store.tail import tail
from orchestrator.store.tasks import TaskStore
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2 import WatchTaskResponse
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.core.server import Drain, draining_error

_RETRY_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Chunk:
    first: int
    last: int
    frames: bytes
    terminal: bool


@dataclass(eq=False)
class _Mailbox:
    """What has come for a watcher since it looked last. `stale`: something is missing, read the log."""

    capacity_bytes: int
    chunks: list[_Chunk] = field(default_factory=list)
    stale: bool = True
    size_bytes: int = 0
    ring: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, chunk: _Chunk) -> None:
        if chunk.frames and self.size_bytes + len(chunk.frames) <= self.capacity_bytes and not self.stale:
            self.chunks.append(chunk)
            self.size_bytes += len(chunk.frames)
        else:
            self.miss()
        self.ring.set()

    def miss(self) -> None:
        self.chunks, self.size_bytes, self.stale = [], 0, True
        self.ring.set()

    def take(self) -> list[_Chunk]:
        chunks, self.chunks, self.size_bytes = self.chunks, [], 0
        self.ring.clear()
        return chunks


class Hub:
    """Streams the history of tasks. `run` must run beside it."""

    def __init__(
        self,
        *,
        redis: RedisClient,
        partitions: Partitions,
        tasks: TaskStore,
        drain: Drain,
        checkpoint_seconds: float,
        buffer_bytes: int,
    ) -> None:
        self._redis = redis
        self._partitions = partitions
        self._tasks = tasks
        self._drain = drain
        self._checkpoint_seconds = checkpoint_seconds
        self._buffer_bytes = buffer_bytes
        self._mailboxes: dict[str, set[_Mailbox]] = defaultdict(set)

    async def run(self) -> None:
        """Follows the tail, again and again, until it is cancelled."""
        while True:
            try:
                async for entries in tail(self._redis, self._partitions, "live"):
                    if not entries:  # it listens from here on; what went before is in the log
                        self._miss_all()
                    for entry in entries:
                        self._deliver(entry)
            except TroupeError as error:
                get_logger().warning("history tail cut", problem=error.message)
                await asyncio.sleep(_RETRY_SECONDS)

    async def stop_on_drain(self) -> None:
        """Wakes all watchers when the process begins to stop."""
        await self._drain.wait()
        self._miss_all()

    async def watch(self, task_id: str, after_sequence: int) -> AsyncIterator[bytes]:
        """Encoded `WatchTaskResponse`s (and so `RunTaskResponse`s) with every event after a cursor, to the last one.

        Raises:
            TroupeError: TASK_NOT_FOUND; CURSOR_OUT_OF_RANGE; STORE_UNAVAILABLE; SERVER_DRAINING.
        """
        cursor = after_sequence
        with self._mailbox(task_id) as mailbox:
            while not self._drain.started:
                if mailbox.stale:
                    mailbox.stale = False
                    piece = await self._tasks.read_log(task_id, cursor)
                    cursor = piece.last_sequence
                    for message in piece.messages:
                        yield message
                    mailbox.stale = mailbox.stale or piece.more
                    if piece.ended:
                        return
                    continue
                frames, cursor, ended = self._collect(mailbox, cursor)
                if frames:
                    yield frames
                if ended:
                    return
                if not frames and not mailbox.stale and not await self._rang(mailbox):
                    yield _checkpoint(task_id, cursor)
        raise draining_error()

    @staticmethod
    def _collect(mailbox: _Mailbox, cursor: int) -> tuple[bytes, int, bool]:
        """The frames that follow the cursor; a gap makes the mailbox stale."""
        frames: list[bytes] = []
        for chunk in mailbox.take():
            if chunk.last <= cursor:
                continue
            if chunk.first != cursor + 1:
                mailbox.miss()
                break
            frames.append(chunk.frames)
            cursor = chunk.last
            if chunk.terminal:
                return b"".join(frames), cursor, True
        return b"".join(frames), cursor, False

    async def _rang(self, mailbox: _Mailbox) -> bool:
        try:
            async with asyncio.timeout(self._checkpoint_seconds):
                await mailbox.ring.wait()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def _mailbox(self, task_id: str) -> Iterator[_Mailbox]:
        mailbox = _Mailbox(self._buffer_bytes)
        self._mailboxes[task_id].add(mailbox)
        try:
            yield mailbox
        finally:
            self._mailboxes[task_id].discard(mailbox)
            if not self._mailboxes[task_id]:
                del self._mailboxes[task_id]

    def _deliver(self, entry: Mapping[bytes, bytes]) -> None:
        if mailboxes := self._mailboxes.get(entry[b"t"].decode()):
            chunk = _Chunk(int(entry[b"s"]), int(entry[b"n"]), entry[b"f"], entry[b"z"] == b"1")
            for mailbox in mailboxes:
                mailbox.put(chunk)

    def _miss_all(self) -> None:
        for mailboxes in self._mailboxes.values():
            for mailbox in mailboxes:
                mailbox.miss()


def _checkpoint(task_id: str, cursor: int) -> bytes:
    event = TaskEvent(task_id=task_id)
    event.checkpoint.last_sequence = cursor
    return WatchTaskResponse(events=[event]).SerializeToString()
