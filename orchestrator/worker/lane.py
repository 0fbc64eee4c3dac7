"""Receives the steps of one agent, as the agent has room."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

from troupe.orchestrator.directory import AgentDirectory
from troupe.orchestrator.store.attempts import Assignment, AttemptStore, Begun
from troupe.orchestrator.store.patience import in_time, persistently
from troupe.orchestrator.worker.slots import SlotTable

# Steps that one transition begins at most.
_TAKE: Final = 16


class Lane:
    """One agent's way into this worker.

    While nothing waits, a blocking read tells of the first message. Partitions where more waits are remembered and
    taken from in turn, so that none starves while slots are few.
    """

    def __init__(
        self,
        agent: str,
        *,
        store: AttemptStore,
        directory: AgentDirectory,
        slots: SlotTable,
        spawn: Callable[[Assignment], None],
    ) -> None:
        """`spawn` runs an attempt, whose slot is taken already."""
        self._agent = agent
        self._store = store
        self._directory = directory
        self._slots = slots
        self._spawn = spawn
        self._busy: dict[int, None] = {}
        self._stirred = asyncio.Event()

    def note(self, partition: int, begun: Begun) -> None:
        """Remembers whether more waits in a partition."""
        if begun.more:
            self._busy[partition] = None
            self._stirred.set()
        else:
            self._busy.pop(partition, None)

    async def run(self) -> None:
        """Receives, again and again, until it is cancelled."""
        await persistently(lambda: self._store.join(self._agent))
        groups = await persistently(lambda: self._store.read_groups(self._agent))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_all())
            for streams in groups:
                group.create_task(self._listen(streams))

    async def _take_all(self) -> None:
        while True:
            await self._stirred.wait()
            await self._has_room()
            self._stirred.clear()
            if self._busy:
                partition = next(iter(self._busy))
                del self._busy[partition]  # it goes to the end when more waits
                self._stirred.set()
                await self._begin(partition, partial(self._store.take, self._agent, partition))

    async def _listen(self, streams: Sequence[str]) -> None:
        await persistently(lambda: self._follow(streams))

    async def _follow(self, streams: Sequence[str]) -> None:
        await self._store.join(self._agent)  # the group is gone when Redis lost its data
        await self._has_room()
        async with aclosing(self._store.deliveries(self._agent, streams)) as deliveries:
            async for batch in deliveries:
                for delivery in batch:
                    await self._begin(delivery.partition, partial(self._store.start, self._agent, delivery))
                await self._has_room()

    async def _begin(self, partition: int, begin: Callable[..., Awaitable[Begun]]) -> None:
        """Begins what there is room for; without room, delivered messages go back to their queue."""
        slots = self._slots.of(self._agent)
        room = min(slots.free, _TAKE)
        slots.take(room)
        begun = Begun()
        beginning = asyncio.ensure_future(persistently(lambda: begin(room=room)))
        try:
            begun = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await in_time(self._hand_back(beginning))
            raise
        finally:
            slots.give(room - len(begun.assignments))
        self.note(partition, begun)
        for assignment in begun.assignments:
            self._spawn(assignment)

    async def _hand_back(self, beginning: Awaitable[Begun]) -> None:
        """Hands back what is being begun and is not to be run here."""
        begun = await beginning
        await asyncio.gather(*(self._store.hand_back(assignment.attempt) for assignment in begun.assignments))

    async def _has_room(self) -> None:
        """Returns when a server of the agent answers and at least one more step can begin."""
        while True:
            await self._directory.wait_for(self._agent)
            slots = self._slots.of(self._agent)
            if slots.free:
                return
            await slots.wait()
