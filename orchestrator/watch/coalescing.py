"""When a topic is flushed: at once after a pause, else once a window; the busier the process, the longer the window.

What a stream costs is messages, not bytes: a wider window turns load into larger messages before it turns into delay.
"""

import asyncio
import heapq
import math
import time
from itertools import count
from typing import Final

from troupe.orchestrator.watch.topic import FLUSH_BYTES, Topic

# The window is set so that the event loop is busy for about this share of the time, and up to so many times its
# smallest.
_BUSY_SHARE: Final = 0.55
_WIDEST: Final = 8
_MEASURE_SECONDS: Final = 0.25


class Coalescer:
    """Flushes topics. Lives in one event loop."""

    def __init__(self, *, window_seconds: float) -> None:
        self._least = window_seconds
        self._window = window_seconds
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[float, int, Topic]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._measured = (self._loop.time(), time.thread_time())

    def touch(self, topic: Topic) -> None:
        """The topic has gathered something."""
        now = self._loop.time()
        due = topic.flushed_at + self._window
        if now >= due or topic.ends or topic.gathered_bytes >= FLUSH_BYTES:
            self._flush(topic, now)
        elif not topic.queued:
            topic.queued = True
            heapq.heappush(self._queue, (due, next(self._order), topic))
            if self._timer is None:
                self._timer = self._loop.call_at(due, self._tick)

    def close(self) -> None:
        """Flushes nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        while self._queue and self._queue[0][0] <= now:
            _, _, topic = heapq.heappop(self._queue)
            topic.queued = False
            self._flush(topic, now)
        self._timer = self._loop.call_at(self._queue[0][0], self._tick) if self._queue else None

    def _flush(self, topic: Topic, now: float) -> None:
        topic.flushed_at = now
        topic.flush()
        if now - self._measured[0] >= _MEASURE_SECONDS:
            self._adapt(now)

    def _adapt(self, now: float) -> None:
        before, (since, used) = time.thread_time(), self._measured
        self._measured = (now, before)
        share = (before - used) / (now - since)
        change = min(1.5, max(0.7, math.sqrt(share / _BUSY_SHARE)))  # damped: work comes in bursts, a window each
        self._window = min(_WIDEST * self._least, max(self._least, self._window * change))
