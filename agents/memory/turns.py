"""Shares a number of places fairly between owners: who has fewest in use is next, and nobody gets all of them."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Places for owners. While there are several, one of them stays free of any single owner."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._most = max(1, places - 1)  # of one owner
        self._used: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """A place for the time inside; those of one owner come in their order."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            self._withdraw(owner, turn)
            raise
        try:
            yield
        finally:
            self._give_back(owner)

    def _withdraw(self, owner: str, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():  # handed out in the same moment
            self._give_back(owner)
            return
        waiting = self._waiting.get(owner)
        if waiting is not None and turn in waiting:
            waiting.remove(turn)
            if not waiting:
                del self._waiting[owner]

    def _give_back(self, owner: str) -> None:
        self._free += 1
        self._used[owner] -= 1
        if not self._used[owner]:
            del self._used[owner]
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free:
            owners = [owner for owner in self._waiting if self._used[owner] < self._most]
            if not owners:
                return
            owner = min(owners, key=lambda name: self._used[name])  # the first of them: who waited longest
            waiting = self._waiting.pop(owner)
            turn = waiting.popleft()
            if waiting:
                self._waiting[owner] = waiting  # behind the others
            if turn.done():
                continue
            self._free -= 1
            self._used[owner] += 1
            turn.set_result(None)
