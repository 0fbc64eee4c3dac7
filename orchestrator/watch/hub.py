"""The hub: one tail of the history feeds every watcher of this process.

The tail is a doorbell and a cache; the truth is the log. A watcher that falls behind, or that misses something because
the tail was cut, reads the log again: it loses nothing and holds no memory.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2 import WatchTaskResponse
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.core.server import Drain, draining_error
from troupe.orchestrator import metrics
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.history import History, mark_of
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key
from troupe.orchestrator.store.tail import tail
from troupe.orchestrator.watch.coalescing import Coalescer
from troupe.orchestrator.watch.feed import Feed
from troupe.orchestrator.watch.log_reader import LogReader, Readers
from troupe.orchestrator.watch.topic import Chunk, Ender, Follower, Topic
from troupe.orchestrator.watch.watcher import Watcher, Wheel

_RETRY_SECONDS: Final = 0.2
_ROOM_AGAIN: Final = timedelta(seconds=1)


class Hub:
    """Streams the history of tasks. Made inside the event loop; `run` must run beside it."""

    def __init__(
        self,
        *,
        redis: RedisClient,
        partitions: Partitions,
        history: History,
        drain: Drain,
        checkpoint_seconds: float,
        buffer_bytes: int,
        coalesce_seconds: float,
        max_watchers: int,
        large_message_bytes: int,
    ) -> None:
        self._redis = redis
        self._partitions = partitions
        self._history = history
        self._drain = drain
        self._buffer_bytes = buffer_bytes
        self._max_watchers = max_watchers
        self._topics: dict[bytes, Topic] = {}
        self._watchers = 0
        self._feeds: set[Feed] = set()
        self._readers = Readers(history=history, large_message_bytes=large_message_bytes)
        self._coalescer = Coalescer(window_seconds=coalesce_seconds)
        self._wheel = Wheel(seconds=checkpoint_seconds)

    async def run(self) -> None:
        """Follows the tail, again and again, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wheel.run())
            try:
                await self._follow_tail()
            finally:
                self._coalescer.close()

    async def stop_on_drain(self) -> None:
        """Wakes all watchers when the process begins to stop."""
        await self._drain.wait()
        self._reset()
        for feed in self._feeds:
            feed.wake()

    def check_room(self) -> None:
        """Call it before work whose outcome is to be watched.

        Raises:
            TroupeError: QUOTA_EXCEEDED: there are as many watchers as this process takes.
        """
        if self._watchers >= self._max_watchers:
            metrics.ADMISSION_REFUSED.labels("watchers").inc()
            raise TroupeError(
                ErrorReason.ERROR_REASON_QUOTA_EXCEEDED,
                f"this server has {self._max_watchers} streams that watch tasks and takes no more (`max_watchers`);"
                " try again later, or at another replica",
                metadata={"subject": "watchers", "limit": str(self._max_watchers)},
                retry_delay=_ROOM_AGAIN,
            )

    async def watch(self, task_id: str, after_sequence: int, mark: bytes = b"") -> AsyncIterator[bytes]:
        """Encoded `WatchTaskResponse`s (and so `RunTaskResponse`s) with every event after a cursor, to the last one.

        `mark` is that of the event at the cursor, where the caller knows it.

        Raises:
            TroupeError: TASK_NOT_FOUND; CURSOR_OUT_OF_RANGE; HISTORY_CHANGED; QUOTA_EXCEEDED; STORE_UNAVAILABLE;
                SERVER_DRAINING.
        """
        cursor = after_sequence
        reader = LogReader(self._readers, task_id)
        with self._watcher(task_id) as (topic, watcher):
            while not self._drain.started:
                if watcher.stale or reader.has_more:
                    unsure = watcher.stale and mark
                    topic.join(watcher)
                    if unsure:
                        await self._readers.check_place(task_id, cursor, mark)
                    async with reader.piece(cursor) as piece:
                        cursor, ended = piece.last_sequence, piece.ended
                        if piece.message:
                            mark = mark_of(piece.message)
                            yield piece.message
                    del piece  # an idle watcher holds no memory
                    metrics.WATCH_REREADS.inc()
                    if ended:
                        return
                elif taken := topic.take(watcher, cursor):
                    metrics.WATCH_EVENTS.inc(taken.last - cursor)
                    cursor, mark = taken.last, mark_of(taken.frames)
                    yield taken.frames
                    if taken.ended:
                        return
                elif not watcher.stale and not await watcher.rang():
                    yield _checkpoint(task_id, cursor)
        raise draining_error()

    def broke_off(self, task: "asyncio.Task[Any] | None") -> bool:
        """Whether a task that watches was cancelled because its client did not read, and not because that left."""
        return self._readers.broke_off(task)

    def open_feed(self, *, capacity_bytes: int) -> Feed:
        """A feed of many tasks; counts as one watcher.

        `capacity_bytes` is what may wait in it before it falls back on the logs.

        Raises:
            TroupeError: QUOTA_EXCEEDED.
        """
        self.check_room()
        self._watchers += 1
        feed = Feed(
            history=self._history,
            drain=self._drain,
            capacity_bytes=capacity_bytes,
            subscribe=self._subscribe,
            unsubscribe=self._unsubscribe,
            on_close=self._close_feed,
        )
        self._feeds.add(feed)
        return feed

    async def _follow_tail(self) -> None:
        while True:
            try:
                async for entries in tail(self._redis, self._partitions, Key.LIVE):
                    if not entries:  # it listens from here on; what went before is in the log
                        self._reset()
                    self._deliver(entries)
            except TroupeError as error:
                get_logger().warning("history tail cut", problem=error.message)
                await asyncio.sleep(_RETRY_SECONDS)

    def _deliver(self, entries: Sequence[Mapping[bytes, bytes]]) -> None:
        touched: dict[Topic, None] = {}
        for entry in entries:
            if topic := self._topics.get(entry[b"t"]):
                topic.put(Chunk(int(entry[b"s"]), int(entry[b"n"]), entry[b"f"], entry[b"z"] == b"1"))
                touched[topic] = None
        for topic in touched:
            if topic.gathered_bytes:
                self._coalescer.touch(topic)

    def _reset(self) -> None:
        for topic in self._topics.values():
            topic.reset()

    @contextmanager
    def _watcher(self, task_id: str) -> Iterator[tuple[Topic, Watcher]]:
        self.check_room()
        watcher = Watcher()
        self._watchers += 1
        metrics.WATCHERS.inc()
        topic = self._subscribe(task_id, watcher)
        self._wheel.add(watcher)
        try:
            yield topic, watcher
        finally:
            self._wheel.remove(watcher)
            self._unsubscribe(task_id, watcher)
            self._watchers -= 1
            metrics.WATCHERS.dec()

    def _subscribe(self, task_id: str, follower: Follower | Ender) -> Topic:
        topic = self._topics.setdefault(task_id.encode(), Topic(self._buffer_bytes))
        topic.add(follower)
        return topic

    def _unsubscribe(self, task_id: str, follower: Follower | Ender) -> None:
        topic = self._topics[task_id.encode()]
        topic.remove(follower)
        if topic.abandoned:
            del self._topics[task_id.encode()]

    def _close_feed(self, feed: Feed) -> None:
        self._feeds.discard(feed)
        self._watchers -= 1


def _checkpoint(task_id: str, cursor: int) -> bytes:
    event = TaskEvent(task_id=task_id)
    event.checkpoint.last_sequence = cursor
    return WatchTaskResponse(events=[event]).SerializeToString()
