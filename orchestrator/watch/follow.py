"""One task of a feed: all of it, or its end only."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from troupe.core.errors import TroupeError
from troupe.orchestrator.store.history import History, LogPiece, mark_of
from troupe.orchestrator.watch.topic import Chunk, Ender, Follower, Topic


class FeedItem(NamedTuple):
    """What comes next of a task.

    `frames` are events as they are stored, each with tag and length as field 1 (`events` of `WatchTaskResponse`), so
    that they are an encoded `WatchTaskResponse` as they stand. `ended`: the last one ends the task and the feed has
    forgotten it. `error`: the task's history cannot be read, there are no frames and the feed has forgotten the task.
    """

    task_id: str
    frames: bytes
    ended: bool
    error: TroupeError | None = None


class Queue(Protocol):
    """Where a follow says that it has something."""

    def queue_ready(self, follow: "WholeFollow | EndFollow", size_bytes: int) -> None:
        """So many bytes more can be taken."""
        ...

    def queue_read(self, follow: "WholeFollow | EndFollow") -> None:
        """The log is to be read."""
        ...


class WholeFollow(Follower):
    """Every event behind a cursor."""

    __slots__ = ("_cursor", "_mark", "_piece", "_queue", "_unsure", "task_id", "topic", "unsubmitted", "waiting_bytes")

    topic: Topic

    def __init__(self, queue: Queue, task_id: str, cursor: int, *, unsubmitted: bool) -> None:
        super().__init__()
        self.stale = not unsubmitted
        self.task_id = task_id
        self.unsubmitted = unsubmitted
        self.waiting_bytes = 0
        self._queue = queue
        self._cursor = cursor
        self._mark = b""
        self._piece: LogPiece | None = None
        self._unsure = False

    @property
    def must_read(self) -> bool:
        """Whether the log goes on, or something was missed."""
        return self.stale or self._unsure or self._piece is not None

    def wake(self, size_bytes: int) -> None:
        """Queues the task."""
        if self.must_read:
            self._queue.queue_read(self)
        else:
            self._queue.queue_ready(self, size_bytes)

    def take(self) -> FeedItem | None:
        """What was flushed behind the cursor."""
        taken = self.topic.take(self, self._cursor)
        if taken is None:
            return None
        self._cursor, self._mark = taken.last, mark_of(taken.frames)
        return FeedItem(self.task_id, taken.frames, taken.ended)

    async def read(self, history: History) -> Sequence[FeedItem]:
        """The next piece."""
        self._unsure = self._unsure or self.stale
        self.topic.join(self)
        if self._unsure and self._mark:
            await history.check_place(self.task_id, self._cursor, self._mark)
        self._unsure = False  # not before: the store may be away
        piece = await history.read_log(self.task_id, self._cursor, self._piece)
        self._piece = piece.without_message() if piece.more else None
        self._cursor = piece.last_sequence
        if piece.message:
            self._mark = mark_of(piece.message)
        return [FeedItem(self.task_id, piece.message, piece.ended)] if piece.message else []

    def give_up(self) -> None:
        """Reads the log instead."""
        self.topic.drop(self)


class EndFollow(Ender):
    """The last chunk."""

    __slots__ = ("_chunk", "_queue", "must_read", "task_id", "topic", "unsubmitted", "waiting_bytes")

    topic: Topic

    def __init__(self, queue: Queue, task_id: str, *, unsubmitted: bool) -> None:
        self.task_id = task_id
        self.unsubmitted = unsubmitted
        self.waiting_bytes = 0
        self.must_read = not unsubmitted
        self._queue = queue
        self._chunk: Chunk | None = None

    def end(self, chunk: Chunk | None) -> None:
        """Queues the task."""
        self._chunk = chunk
        self.must_read = chunk is None
        if chunk is None:
            self._queue.queue_read(self)
        else:
            self._queue.queue_ready(self, len(chunk.frames))

    def take(self) -> FeedItem | None:
        """The last chunk, once it came."""
        return FeedItem(self.task_id, self._chunk.frames, True) if self._chunk else None

    async def read(self, history: History) -> Sequence[FeedItem]:
        """The newest event, if it ends the task."""
        self.must_read = False
        newest = await history.newest(self.task_id)
        return [FeedItem(self.task_id, newest.frame, True)] if newest.ended else []

    def give_up(self) -> None:
        """Reads the log instead."""
        self._chunk, self.must_read = None, True


Follow = WholeFollow | EndFollow
