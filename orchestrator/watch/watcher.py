"""One stream that waits: for the next events of its task, or for the time to say that it is alive."""

import asyncio
from typing import Final

from troupe.orchestrator.watch.topic import Follower

_SLOTS: Final = 16


class Watcher(Follower):
    """A follower that one coroutine waits for."""

    __slots__ = ("_ring", "waits_since")

    def __init__(self) -> None:
        super().__init__()
        self._ring: asyncio.Future[bool] | None = None
        self.waits_since = 0.0

    def wake(self, size_bytes: int) -> None:
        """Lets `rang` return true."""
        self._answer(True)

    def check(self) -> None:
        """Lets `rang` return false."""
        self._answer(False)

    @property
    def waits(self) -> bool:
        """Whether something waits in `rang`."""
        return self._ring is not None

    async def rang(self) -> bool:
        """Waits; whether it was woken, and not only checked."""
        loop = asyncio.get_running_loop()
        self._ring = loop.create_future()
        self.waits_since = loop.time()
        try:
            return await self._ring
        finally:
            self._ring = None

    def _answer(self, woken: bool) -> None:
        if self._ring is not None and not self._ring.done():
            self._ring.set_result(woken)


class Wheel:
    """Checks watchers that have waited for long: one timer for all of them."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._step = seconds / _SLOTS
        self._slots: list[set[Watcher]] = [set() for _ in range(_SLOTS + 2)]
        self._places: dict[Watcher, int] = {}
        self._now = 0

    def add(self, watcher: Watcher) -> None:
        """Checks the watcher whenever it has waited for the wheel's time."""
        self._place(watcher, _SLOTS)

    def remove(self, watcher: Watcher) -> None:
        """Checks it no more."""
        self._slots[self._places.pop(watcher)].discard(watcher)

    async def run(self) -> None:
        """Turns until it is cancelled."""
        while True:
            await asyncio.sleep(self._step)
            self._turn(asyncio.get_running_loop().time())

    def _turn(self, now: float) -> None:
        self._now = (self._now + 1) % len(self._slots)
        due, self._slots[self._now] = self._slots[self._now], set()
        for watcher in due:
            left = watcher.waits_since + self._seconds - now if watcher.waits else self._seconds
            if left <= 0:
                watcher.check()
                left = self._seconds
            self._place(watcher, min(_SLOTS, int(left / self._step) + 1))

    def _place(self, watcher: Watcher, ahead: int) -> None:
        place = (self._now + ahead) % len(self._slots)
        self._slots[place].add(watcher)
        self._places[watcher] = place
