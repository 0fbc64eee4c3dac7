"""How many steps of each agent this worker may still begin."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from troupe.orchestrator.directory import AgentDirectory

# What an ending step offers to steps of other agents that it lets go.
_OFFER: Final = 4


class Slots:
    """One agent's room: a slot is taken from before a step is begun until its end is recorded."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._taken = 0
        self._changed = asyncio.Event()

    @property
    def free(self) -> int:
        """Slots that are not taken; never negative, even when the capacity shrank."""
        return max(0, self._capacity - self._taken)

    @property
    def taken(self) -> int:
        """Slots that are taken."""
        return self._taken

    def resize(self, capacity: int) -> None:
        """The agent's servers offer more room now, or less."""
        if capacity != self._capacity:
            self._capacity = capacity
            self._changed.set()

    def take(self, count: int) -> None:
        """Takes slots."""
        self._taken += count

    def give(self, count: int) -> None:
        """Gives slots back."""
        self._taken -= count
        if self.free or not self._taken:
            self._changed.set()

    async def wait(self) -> None:
        """Returns when a slot may be free.

        When none is taken it returns although none is free: no server answered when the capacity was asked last.
        """
        self._changed.clear()
        await self._changed.wait()


class SlotTable:
    """The slots of every agent, as its servers advertise them."""

    def __init__(self, directory: AgentDirectory, *, default_concurrency: int) -> None:
        """`default_concurrency` is for agents that do not say."""
        self._directory = directory
        self._default_concurrency = default_concurrency
        self._slots: dict[str, Slots] = {}

    def of(self, agent: str) -> Slots:
        """The agent's slots."""
        capacity = self._directory.capacity(agent, default=self._default_concurrency)
        slots = self._slots.setdefault(agent, Slots(capacity))
        slots.resize(capacity)
        return slots

    def running(self) -> int:
        """Slots taken of all agents."""
        return sum(slots.taken for slots in self._slots.values())

    @contextmanager
    def offered(self, agents: Sequence[str]) -> Iterator[Mapping[str, int]]:
        """Holds some free slots of agents while a transition may use them."""
        rooms = {agent: min(_OFFER, self.of(agent).free) for agent in agents}
        for agent, room in rooms.items():
            self._slots[agent].take(room)
        try:
            yield rooms
        finally:
            for agent, room in rooms.items():
                self._slots[agent].give(room)
