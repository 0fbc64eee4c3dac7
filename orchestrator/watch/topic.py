"""A topic: what came lately of one task, held once for all who follow it.

Chunks gather until they are flushed; followers take only what was flushed, so that those at the same place share one
message. What all have taken is dropped. A follower that fell behind what is held, or behind a gap, is `stale`: it
reads the log.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from troupe.orchestrator.store.history import MESSAGE_BYTES

# So much is not gathered any longer: a message of this size costs little more than one of a few bytes.
FLUSH_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Chunk:
    """Framed events appended together; no frames when they are large. `terminal`: the last one ends the task."""

    first: int
    last: int
    frames: bytes
    terminal: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What a follower takes: framed events behind its cursor. `ended`: the last one ends the task."""

    frames: bytes
    after: int
    last: int
    ended: bool


class Follower(ABC):
    """One who follows a task. `behind`: it has not taken all that was flushed."""

    __slots__ = ("behind", "stale")

    def __init__(self) -> None:
        self.stale = True
        self.behind = False

    @abstractmethod
    def wake(self, size_bytes: int) -> None:
        """Something was flushed, or (the size is 0) the log is to be read. Of the topic it may call `drop` only."""


class Ender(ABC):
    """One who waits for the end of a task only."""

    __slots__ = ()

    @abstractmethod
    def end(self, chunk: Chunk | None) -> None:
        """The task ended with this chunk; with None it may have, and the log knows."""


class Topic:
    """The followers of a task and what they have not taken yet, up to about a capacity."""

    __slots__ = (
        "_behind",
        "_capacity_bytes",
        "_chunks",
        "_flushed",
        "_last",
        "_taken",
        "enders",
        "flushed_at",
        "followers",
        "gathered_bytes",
        "held_bytes",
        "queued",
    )

    def __init__(self, capacity_bytes: int) -> None:
        self.followers: set[Follower] = set()
        self.enders: set[Ender] = set()
        self.gathered_bytes = 0
        self.flushed_at = 0.0
        self.queued = False
        self._capacity_bytes = capacity_bytes
        self._chunks: list[Chunk] = []
        self._flushed = 0  # how many of the chunks are
        self.held_bytes = 0
        self._behind = 0  # how many followers are
        self._last: int | None = None
        self._taken: Taken | None = None

    def add(self, follower: Follower | Ender) -> None:
        """One more follows."""
        if isinstance(follower, Follower):
            self.followers.add(follower)
        else:
            self.enders.add(follower)

    def remove(self, follower: Follower | Ender) -> None:
        """It follows no more."""
        if isinstance(follower, Follower):
            self.followers.discard(follower)
            self._caught_up(follower)
        else:
            self.enders.discard(follower)

    def put(self, chunk: Chunk) -> None:
        """Takes the next chunk."""
        if self._last is not None and chunk.last <= self._last:
            return
        gap = self._last is not None and chunk.first != self._last + 1
        self._last = chunk.last
        if gap or chunk.terminal:
            for ender in self.enders:
                ender.end(chunk if chunk.terminal and chunk.frames else None)
        if gap or not chunk.frames:
            self._miss()
        elif self.followers:
            self._chunks.append(chunk)
            self.gathered_bytes += len(chunk.frames)

    @property
    def abandoned(self) -> bool:
        """Whether nobody follows."""
        return not self.followers and not self.enders

    @property
    def ends(self) -> bool:
        """Whether the newest chunk ends the task."""
        return bool(self._chunks) and self._chunks[-1].terminal

    def flush(self) -> None:
        """Lets the followers take what was gathered."""
        size, self.gathered_bytes = self.gathered_bytes, 0
        if not size:
            return
        self.held_bytes += size
        self._flushed = len(self._chunks)
        self._taken = None
        if self.held_bytes > self._capacity_bytes:
            self._drop_oldest()
        current = [follower for follower in self.followers if not follower.stale]
        for follower in current:
            follower.behind = True
        self._behind = len(current)
        for follower in current:
            follower.wake(size)
        if not current:
            self._forget_flushed()

    def reset(self) -> None:
        """The tail was cut: all read the log, and the next chunk may have any number."""
        self._last = None
        self._miss()
        for ender in self.enders:
            ender.end(None)

    def join(self, follower: Follower) -> None:
        """The follower reads the log now: what comes meanwhile is held for it."""
        follower.stale = False
        if not follower.behind:
            follower.behind = True
            self._behind += 1

    def drop(self, follower: Follower) -> None:
        """The follower gives up what it has not taken, and will read the log."""
        follower.stale = True
        self._caught_up(follower)

    def take(self, follower: Follower, cursor: int) -> Taken | None:
        """What was flushed behind the cursor, about a message; None when there is nothing, or the follower is stale."""
        taken = self._taken
        if taken is None or taken.after != cursor:
            taken = self._taken = self._collect(cursor)
        if taken is None:
            if self._flushed and self._chunks[self._flushed - 1].last > cursor:
                follower.stale = True
            self._caught_up(follower)
        elif taken.last == self._chunks[self._flushed - 1].last:
            self._caught_up(follower)
        return taken

    def _miss(self) -> None:
        """Something is missing: all read the log."""
        self._chunks.clear()
        self.gathered_bytes = self.held_bytes = self._flushed = self._behind = 0
        self._taken = None
        for follower in self.followers:
            follower.behind, follower.stale = False, True
            follower.wake(0)

    def _collect(self, cursor: int) -> Taken | None:
        chunks, end = self._chunks, self._flushed
        start = end
        while start and chunks[start - 1].first > cursor:
            start -= 1
        if start == end or chunks[start].first != cursor + 1:
            return None
        size, stop = 0, start
        while stop < end and (stop == start or size + len(chunks[stop].frames) <= MESSAGE_BYTES):
            size += len(chunks[stop].frames)
            stop += 1
        last = chunks[stop - 1]
        frames = last.frames if stop - start == 1 else b"".join([chunk.frames for chunk in chunks[start:stop]])
        return Taken(frames, cursor, last.last, last.terminal and last.last == self._last)

    def _caught_up(self, follower: Follower) -> None:
        if follower.behind:
            follower.behind = False
            self._behind -= 1
            if not self._behind:
                self._forget_flushed()

    def _forget_flushed(self) -> None:
        del self._chunks[: self._flushed]
        self._flushed = self.held_bytes = 0
        self._taken = None

    def _drop_oldest(self) -> None:
        dropped = 0
        while dropped < self._flushed - 1 and self.held_bytes > self._capacity_bytes:
            self.held_bytes -= len(self._chunks[dropped].frames)
            dropped += 1
        del self._chunks[:dropped]
        self._flushed -= dropped
