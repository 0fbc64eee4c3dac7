"""Pieces of logs for watchers: small ones for who may not read, larger ones for who does.

What a watcher costs that does not read is what it is being sent. Each gets messages of `MESSAGE_BYTES`; who has taken
some of them quickly gets larger ones as long as there is room, and so do events that are larger themselves.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from troupe.orchestrator.store.history import MESSAGE_BYTES, MOST_BYTES, History, LogPiece
from troupe.orchestrator.watch.large_messages import LargeMessages

# Bounds what thousands of watchers that read the log at once hold in memory.
_READS_AT_ONCE: Final = 16
_QUICK_SECONDS: Final = 0.5
_QUICK_BYTES: Final = 3 * MESSAGE_BYTES
_AHEAD_BYTES: Final = 8 << 20
_AHEAD_PATIENCE_SECONDS: Final = 30.0
# In which even a slow client takes a MiB, and others do not wait for long.
_LARGE_PATIENCE_SECONDS: Final = 5.0


class Readers:
    """What those who read logs share."""

    def __init__(self, *, history: History, large_message_bytes: int) -> None:
        self._history = history
        self._at_once = asyncio.Semaphore(_READS_AT_ONCE)
        self.ahead = LargeMessages(capacity_bytes=_AHEAD_BYTES, patience_seconds=_AHEAD_PATIENCE_SECONDS)
        self.large = LargeMessages(capacity_bytes=large_message_bytes, patience_seconds=_LARGE_PATIENCE_SECONDS)

    async def read(self, task_id: str, cursor: int, previous: LogPiece | None, message_bytes: int) -> LogPiece:
        """As `History.read_log`, some readers at a time."""
        async with self._at_once:
            return await self._history.read_log(task_id, cursor, previous, message_bytes=message_bytes)

    async def check_place(self, task_id: str, cursor: int, mark: bytes) -> None:
        """As `History.check_place`, some readers at a time."""
        async with self._at_once:
            await self._history.check_place(task_id, cursor, mark)

    def broke_off(self, task: "asyncio.Task[Any] | None") -> bool:
        """Whether a task was broken off for the room that its slow reader held: nobody else cancelled it."""
        return self.ahead.broke_off(task) or self.large.broke_off(task)


class LogReader:
    """Reads the log of one task for one watcher."""

    __slots__ = ("_piece", "_quick_bytes", "_readers", "_task_id")

    def __init__(self, readers: Readers, task_id: str) -> None:
        self._readers = readers
        self._task_id = task_id
        self._piece: LogPiece | None = None
        self._quick_bytes = 0

    @property
    def has_more(self) -> bool:
        """Whether the log went on behind the last piece."""
        return self._piece is not None

    @asynccontextmanager
    async def piece(self, cursor: int) -> AsyncIterator[LogPiece]:
        """The piece behind a cursor, which is where the last one ended if that `has_more`; sent inside the block."""
        async with AsyncExitStack() as room:
            most_bytes = await self._take_room(room)
            piece = await self._read(cursor, most_bytes)
            size_bytes = piece.size_bytes
            if size_bytes > most_bytes:
                at_once = self._readers.large.makes_room(size_bytes)
                if not at_once:
                    del piece  # many may wait
                await room.enter_async_context(self._readers.large.room(size_bytes))
                if not at_once:
                    piece = await self._read(cursor, most_bytes)
            self._piece = piece.without_message() if piece.more else None
            since = time.monotonic()
            yield piece
            self._quick_bytes = self._quick_bytes + size_bytes if time.monotonic() - since < _QUICK_SECONDS else 0

    async def _take_room(self, room: AsyncExitStack) -> int:
        """How large the next message may be."""
        if self._quick_bytes < _QUICK_BYTES or not self._readers.ahead.makes_room(MOST_BYTES):
            return MESSAGE_BYTES
        await room.enter_async_context(self._readers.ahead.room(MOST_BYTES))
        return MOST_BYTES

    async def _read(self, cursor: int, most_bytes: int) -> LogPiece:
        return await self._readers.read(self._task_id, cursor, self._piece, most_bytes)
