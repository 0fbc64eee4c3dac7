"""A feed: many tasks followed by one reader."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.server import Drain, draining_error
from troupe.orchestrator.store.history import MESSAGE_BYTES, History
from troupe.orchestrator.watch.follow import EndFollow, FeedItem, Follow, WholeFollow
from troupe.orchestrator.watch.topic import Ender, Follower, Topic

_READS_AT_ONCE: Final = 16
_OF_ONE_TASK: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_TASK_NOT_FOUND,
        ErrorReason.ERROR_REASON_CURSOR_OUT_OF_RANGE,
        ErrorReason.ERROR_REASON_HISTORY_CHANGED,
    }
)
# Fewer where what was read last was large: at most about so much is read, and waits to be sent, at a time.
_READ_BYTES: Final = 512 << 10


class Feed:
    """Histories of many tasks: of each without a gap or a duplicate, in no order between tasks. Made by the hub.

    What waits to be read is bounded: beyond that, the tasks that wait are read from their logs. Iterate over it in one
    coroutine, follow and forget in any; close it at the end.
    """

    def __init__(
        self,
        *,
        history: History,
        drain: Drain,
        capacity_bytes: int,
        subscribe: Callable[[str, Follower | Ender], Topic],
        unsubscribe: Callable[[str, Follower | Ender], None],
        on_close: Callable[["Feed"], None],
    ) -> None:
        self._history = history
        self._drain = drain
        self._capacity_bytes = capacity_bytes
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._on_close = on_close
        self._follows: dict[str, Follow] = {}
        self._ready: dict[Follow, None] = {}
        self._unread: dict[Follow, None] = {}
        self._waiting_bytes = 0
        self._reads_at_once = _READS_AT_ONCE
        self._rang = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """How many tasks it follows."""
        return len(self._follows)

    def follow(
        self, task_id: str, after_sequence: int = 0, *, terminal_only: bool = False, unsubmitted: bool = False
    ) -> None:
        """Follows a task behind a cursor; one that is followed already goes on as it was.

        With `terminal_only` nothing comes but one item that ends with the terminal event. `unsubmitted` says that the
        task is about to be stored, so that there is no log to read yet; say `submitted` when it was, `forget` it when
        it was not.
        """
        if self._closed or task_id in self._follows:
            return
        follow = (
            EndFollow(self, task_id, unsubmitted=unsubmitted)
            if terminal_only
            else WholeFollow(self, task_id, after_sequence, unsubmitted=unsubmitted)
        )
        self._follows[task_id] = follow
        follow.topic = self._subscribe(task_id, follow)
        if not unsubmitted:
            self.queue_read(follow)

    def submitted(self, task_id: str) -> None:
        """The task is stored: from now on there is a log."""
        if follow := self._follows.get(task_id):
            follow.unsubmitted = False

    def forget(self, task_id: str) -> None:
        """Follows a task no more."""
        if follow := self._follows.pop(task_id, None):
            self._unqueue(follow)
            self._unsubscribe(task_id, follow)

    def close(self) -> None:
        """Ends the iteration and forgets every task."""
        if not self._closed:
            self._closed = True
            for task_id in list(self._follows):
                self.forget(task_id)
            self._on_close(self)
            self.wake()

    def wake(self) -> None:
        """Lets the reader look."""
        self._rang.set()

    async def __aiter__(self) -> AsyncIterator[list[FeedItem]]:
        """Yields items that are ready, about a message of them at a time, until it is closed.

        Raises:
            TroupeError: STORE_UNAVAILABLE, and nothing is lost when it is iterated again; SERVER_DRAINING.
        """
        while not self._closed:
            if self._drain.started:
                raise draining_error()
            self._rang.clear()
            items = self._take() or await self._read()
            if items:
                yield items
            elif not self._ready and not self._unread:
                await self._rang.wait()

    def queue_ready(self, follow: Follow, size_bytes: int) -> None:
        """Something of a task waits to be taken."""
        self._ready[follow] = None
        follow.waiting_bytes += size_bytes
        self._waiting_bytes += size_bytes
        if self._waiting_bytes > self._capacity_bytes:
            for waiting in list(self._ready):
                waiting.give_up()
                self.queue_read(waiting)
        self._rang.set()

    def queue_read(self, follow: Follow) -> None:
        """The log of a task is to be read."""
        self._unqueue(follow)
        self._unread[follow] = None
        self._rang.set()

    def _unqueue(self, follow: Follow) -> None:
        self._ready.pop(follow, None)
        self._unread.pop(follow, None)
        self._waiting_bytes -= follow.waiting_bytes
        follow.waiting_bytes = 0

    def _take(self) -> list[FeedItem]:
        """What waits, about a message of it."""
        items: list[FeedItem] = []
        size = 0
        while self._ready and size < MESSAGE_BYTES:
            follow = next(iter(self._ready))
            self._unqueue(follow)
            if item := follow.take():
                items.append(item)
                size += len(item.frames)
                if item.ended:
                    self.forget(follow.task_id)
                else:
                    self._ready[follow] = None  # it says itself when there is no more
            elif follow.must_read:
                self._unread[follow] = None
        return items

    async def _read(self) -> list[FeedItem]:
        """Reads some logs together."""
        batch = list(islice(self._unread, self._reads_at_once))
        for follow in batch:
            del self._unread[follow]
        unsubmitted = {follow for follow in batch if follow.unsubmitted}
        outcomes = await asyncio.gather(*(follow.read(self._history) for follow in batch), return_exceptions=True)
        items: list[FeedItem] = []
        failure: BaseException | None = None
        for follow, outcome in zip(batch, outcomes, strict=True):
            if self._follows.get(follow.task_id) is not follow:
                continue  # forgotten meanwhile
            if not isinstance(outcome, BaseException):
                items += outcome
                self._after_read(follow, outcome)
            elif isinstance(outcome, TroupeError) and outcome.reason in _OF_ONE_TASK:
                if follow not in unsubmitted or outcome.reason != ErrorReason.ERROR_REASON_TASK_NOT_FOUND:
                    self.forget(follow.task_id)
                    items.append(FeedItem(follow.task_id, b"", False, outcome))
            else:
                failure = outcome
                self._unread[follow] = None
        if failure is not None and not items:
            raise failure
        if items:
            usual = sum(len(item.frames) for item in items) // len(items)
            self._reads_at_once = max(1, min(_READS_AT_ONCE, _READ_BYTES // max(1, usual)))
        return items

    def _after_read(self, follow: Follow, items: Sequence[FeedItem]) -> None:
        if items and items[-1].ended:
            self.forget(follow.task_id)
        elif follow.must_read:
            self._unread[follow] = None
        else:
            self._ready[follow] = None  # for what came while the log was read
