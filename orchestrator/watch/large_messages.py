"""Room for messages that are larger than what every stream may have: so many bytes of all streams together.

A client that does not read leaves its message here, twice: in this process and in gRPC, which copies it. An event of a
MiB cannot be sent in parts, and who reads quickly is better served with large messages. So those who send one share
the room; when it is needed, one whose client has not taken its message for long is broken off, and its client goes on
behind the last event that it has.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakSet

from troupe.core.logs import get_logger
from troupe.orchestrator import metrics

# The more wait, the sooner one who does not take its message goes: twice as soon with so many, but no sooner than this.
_CROWD: Final = 4
_LEAST_PATIENCE_SECONDS: Final = 0.25


@dataclass(eq=False)
class _Sender:
    """A stream that sends a message of so many bytes."""

    task: "asyncio.Task[Any]"
    size_bytes: int
    since: float
    broken_off: bool = False


class LargeMessages:
    """The room. Lives in one event loop."""

    def __init__(self, *, capacity_bytes: int, patience_seconds: float) -> None:
        self._capacity_bytes = capacity_bytes
        self._patience_seconds = patience_seconds
        self._senders: dict[_Sender, None] = {}
        self._held_bytes = 0
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._left = asyncio.Event()
        self._broken_off: WeakSet[asyncio.Task[Any]] = WeakSet()

    def makes_room(self, size_bytes: int) -> bool:
        """Whether a message need not wait; where there is no room, some may be made for later."""
        if self._turn.locked():
            return False
        if self._fits(size_bytes):
            return True
        longest = self._next_to_go(size_bytes)
        if longest is not None and self._patience_left(longest) <= 0:
            self._break_off(longest)
        return False

    def broke_off(self, task: "asyncio.Task[Any] | None") -> bool:
        """Whether the task was broken off here: nobody else cancelled it, and its client may well be there."""
        return task in self._broken_off

    @asynccontextmanager
    async def room(self, size_bytes: int) -> AsyncIterator[None]:
        """Sends a message inside the block, in the task that is broken off should its client not take it."""
        self._waiting += 1
        try:
            async with self._turn:
                while not self._fits(size_bytes):
                    await self._wait(size_bytes)
        finally:
            self._waiting -= 1
        task = asyncio.current_task()
        assert task is not None
        sender = _Sender(task, size_bytes, asyncio.get_running_loop().time())
        self._senders[sender] = None
        self._held_bytes += size_bytes
        try:
            yield
        finally:
            del self._senders[sender]
            self._held_bytes -= size_bytes
            self._left.set()

    def _fits(self, size_bytes: int) -> bool:
        return not self._senders or self._held_bytes + size_bytes <= self._capacity_bytes

    def _next_to_go(self, size_bytes: int) -> _Sender | None:
        """Who has sent for longest; nobody when it is enough that those leave who were broken off."""
        leaving_bytes = sum(sender.size_bytes for sender in self._senders if sender.broken_off)
        if self._held_bytes - leaving_bytes + size_bytes <= self._capacity_bytes:
            return None
        return next((sender for sender in self._senders if not sender.broken_off), None)

    def _patience_left(self, sender: _Sender) -> float:
        patience = max(_LEAST_PATIENCE_SECONDS, self._patience_seconds / (1 + self._waiting / _CROWD))
        return sender.since + patience - asyncio.get_running_loop().time()

    async def _wait(self, size_bytes: int) -> None:
        """Returns when a sender has left, or the one that has sent for longest was broken off."""
        self._left.clear()
        longest = self._next_to_go(size_bytes)
        try:
            async with asyncio.timeout(None if longest is None else self._patience_left(longest)):
                await self._left.wait()
        except TimeoutError:
            assert longest is not None
            self._break_off(longest)

    def _break_off(self, sender: _Sender) -> None:
        sender.broken_off = True
        self._broken_off.add(sender.task)
        sender.task.cancel()
        metrics.WATCH_BROKEN_OFF.inc()
        get_logger().warning("a stream was broken off: its client does not read", message_bytes=sender.size_bytes)
