"""The worker: receives the steps of every agent and runs them as the agents have room."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from orchestrator.directory import AgentDirectory
from orchestrator.store.attempts import Attempt, AttemptStore, Delivery, NotStarted
from orchestrator.store.partitions import Partitions
from orchestrator.worker import events
from orchestrator.worker.attempt import AttemptRunner
from orchestrator.worker.leases import AttemptLostError, Leases
from orchestrator.worker.patience import persistently
from orchestrator.worker.receipts import Receipt, Settlement
from troupe.core.errors import TroupeError
from troupe.core.logs import bound, get_logger
from troupe.core.server import Drain

_RECLAIM_SECONDS: Final = 1.0


class Worker:
    """Executes the steps of every agent that the directory knows."""

    def __init__(
        self,
        *,
        store: AttemptStore,
        directory: AgentDirectory,
        runner: AttemptRunner,
        leases: Leases,
        max_concurrency: int,
        lease_seconds: float,
        grace_seconds: float,
    ) -> None:
        self._store = store
        self._directory = directory
        self._runner = runner
        self._leases = leases
        self._max_concurrency = max_concurrency
        self._reclaim_idle_ms = int(lease_seconds * 2_000)
        self._grace_seconds = grace_seconds
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, drain: Drain) -> None:
        """Takes steps until it is drained; then lets those that run end, and hands back what the grace ends."""
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(loop) for loop in (self._leases.renew(), self._leases.listen())]
            receiving = group.create_task(self._receive_all(group))
            await drain.wait()
            receiving.cancel()
            await asyncio.wait([receiving])
            await self._finish()
            for loop in loops:
                loop.cancel()

    async def _finish(self) -> None:
        if self._running:
            get_logger().info("draining", running=len(self._running))
            _, late = await asyncio.wait(self._running, timeout=self._grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _receive_all(self, attempts: asyncio.TaskGroup) -> None:
        """Receives for each agent in a loop of its own, so that a slow one holds up no other."""
        async with asyncio.TaskGroup() as group:
            served: set[str] = set()
            while True:
                for agent in await self._directory.wait_for_others(served):
                    served.add(agent)
                    group.create_task(self._receive(agent, attempts))
                    group.create_task(self._reclaim(agent, attempts))

    async def _receive(self, agent: str, attempts: asyncio.TaskGroup) -> None:
        await persistently(lambda: self._consume(agent, attempts))

    async def _consume(self, agent: str, attempts: asyncio.TaskGroup) -> None:
        await self._store.join(agent)
        await self._has_room(agent)
        async with aclosing(self._store.deliveries(agent)) as deliveries:
            async for delivery in deliveries:
                if delivery is not None:
                    self._accept(delivery, attempts)
                await self._has_room(agent)

    async def _reclaim(self, agent: str, attempts: asyncio.TaskGroup) -> None:
        await persistently(lambda: self._store.join(agent))
        while True:
            await asyncio.sleep(_RECLAIM_SECONDS)
            for delivery in await persistently(lambda: self._store.reclaim(agent, idle_ms=self._reclaim_idle_ms)):
                if delivery.message_id not in self._leases.messages:
                    self._accept(delivery, attempts)

    def _accept(self, delivery: Delivery, attempts: asyncio.TaskGroup) -> None:
        settlement = Settlement(len(delivery.attempts))
        for attempt in delivery.attempts:
            task = attempts.create_task(self._attempt(attempt, delivery, Receipt(settlement)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _attempt(self, attempt: Attempt, delivery: Delivery, receipt: Receipt) -> None:
        ids = {"task_id": attempt.task_id, "step_id": attempt.step_id, "agent": attempt.agent}
        with bound(**ids, attempt=attempt.number):
            async with self._room(attempt.agent):
                ours = await self._run(attempt, receipt)
            if ours and receipt.take():
                await persistently(lambda: self._store.acknowledge(delivery))

    async def _run(self, attempt: Attempt, receipt: Receipt) -> bool:
        """Whether this worker answers for the attempt's message."""
        event = events.started(attempt)
        assignment = await persistently(lambda: self._store.start(attempt, event))
        if isinstance(assignment, NotStarted):
            get_logger().info("step not started", why=assignment.value)
            return assignment is NotStarted.STALE
        try:
            async with self._leases.held(attempt):
                await self._runner.run(attempt, assignment, receipt=receipt)
        except AttemptLostError:
            get_logger().warning("attempt lost: its lease ran out, or its task ended")
        except Exception:  # noqa: BLE001 - the worker's loop: one attempt must not end the others
            get_logger().exception("attempt dropped; its lease will run out")
        except asyncio.CancelledError:
            await self._in_time(self._store.hand_back(attempt, acknowledge=receipt.take()))
            raise
        return True

    @staticmethod
    async def _in_time(last_words: Coroutine[Any, Any, bool]) -> None:
        async with asyncio.timeout(1):
            await last_words

    async def _has_room(self, agent: str) -> None:
        """Returns when a server of the agent answers and at least one more step can start."""
        await asyncio.sleep(0)  # lets what was accepted take its room
        await self._directory.wait_for(agent)
        async with self._room(agent):
            pass

    def _room(self, agent: str) -> asyncio.Semaphore:
        if agent not in self._slots:
            servers = [server for server in self._directory.servers if agent in server.agents]
            room = sum(server.agents[agent].max_concurrency or self._max_concurrency for server in servers)
            self._slots[agent] = asyncio.Semaphore(max(1, room))
        return self._slots[agent]


async def keep_time(store: AttemptStore, partitions: Partitions, *, seconds: float, max_lost_leases: int) -> None:
    """Looks at the clocks of every partition, again and again, until it is cancelled."""
    while True:
        for partition in partitions.all():
            try:
                ticked = await persistently(partial(store.tick, partition, max_lost_leases=max_lost_leases))
            except TroupeError as error:
                get_logger().error("clocks not looked at", partition=partition, problem=error.message)
                continue
            if ticked.taken_over or ticked.timed_out:
                get_logger().warning("clocks", partition=partition, taken_over=ticked.taken_over, late=ticked.timed_out)
        await asyncio.sleep(seconds)
