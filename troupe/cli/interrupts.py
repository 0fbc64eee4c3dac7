"""Ctrl-C as something to wait for."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from troupe.core.background import stop

_Result = TypeVar("_Result")


class Interrupts:
    """The signals that have come and were not taken yet."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[int] = asyncio.Queue()

    def add(self, number: int) -> None:
        """A signal has come."""
        self._arrived.put_nowait(number)

    async def next(self) -> int:
        """The next signal."""
        return await self._arrived.get()

    async def unless(self, work: Awaitable[_Result]) -> _Result | None:
        """What `work` returns; None when a signal came first, and `work` was cancelled."""
        working = asyncio.ensure_future(work)
        interrupted = asyncio.create_task(self.next())
        try:
            await asyncio.wait((working, interrupted), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            await stop(working, interrupted)


@asynccontextmanager
async def interrupts(numbers: Sequence[int] = (signal.SIGINT,)) -> AsyncIterator[Interrupts]:
    """Inside the block these signals are only recorded."""
    loop = asyncio.get_running_loop()
    received = Interrupts()
    for number in numbers:
        loop.add_signal_handler(number, received.add, number)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
