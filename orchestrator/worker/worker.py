"""The worker: receives the steps of every agent and runs them as the agents have room."""

import asyncio
import contextlib
import time
from typing import Any, Final

from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.core.background import stop
from troupe.core.errors import TroupeError
from troupe.core.logs import bound, get_logger
from troupe.core.server import Drain
from troupe.core.telemetry.spans import remote_span
from troupe.orchestrator import metrics
from troupe.orchestrator.directory import AgentDirectory
from troupe.orchestrator.execution.failures import CallInterruptedError
from troupe.orchestrator.store.attempts import Assignment, AttemptStore, Ended
from troupe.orchestrator.store.patience import in_time, persistently
from troupe.orchestrator.worker.attempt import AttemptRunner, Outcome
from troupe.orchestrator.worker.lane import Lane
from troupe.orchestrator.worker.leases import AttemptLostError, Leases
from troupe.orchestrator.worker.slots import SlotTable

# How many steps in a row may use one slot without others having been offered it.
_STREAK: Final = 4


class Worker:
    """Executes the steps of every agent that the directory knows."""

    def __init__(
        self,
        *,
        store: AttemptStore,
        directory: AgentDirectory,
        runner: AttemptRunner,
        leases: Leases,
        slots: SlotTable,
        grace_seconds: float,
    ) -> None:
        self._store = store
        self._directory = directory
        self._runner = runner
        self._leases = leases
        self._slots = slots
        self._grace_seconds = grace_seconds
        self._lanes: dict[str, Lane] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._draining = False

    async def run(self, drain: Drain) -> None:
        """Takes steps until it is drained; then lets those that run end, and hands back what the grace ends."""
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(loop) for loop in (self._leases.renew(), self._leases.listen())]
            receiving = group.create_task(self._receive_all(group))
            await drain.wait()
            self._draining = True
            receiving.cancel()
            await asyncio.wait([receiving])
            await self._finish()
            for loop in loops:
                loop.cancel()

    async def _finish(self) -> None:
        if self._running:
            get_logger().info("draining", running=len(self._running))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace_seconds):
                    while self._running:  # one that ends may have begun another
                        await asyncio.wait(self._running)
            await stop(*self._running)

    async def _receive_all(self, attempts: asyncio.TaskGroup) -> None:
        """Receives for each agent in a lane of its own, so that a slow one holds up no other."""
        async with asyncio.TaskGroup() as group:
            while True:
                for agent in await self._directory.wait_for_others(self._lanes.keys()):
                    lane = Lane(
                        agent,
                        store=self._store,
                        directory=self._directory,
                        slots=self._slots,
                        spawn=lambda assignment: self._spawn(assignment, attempts),
                    )
                    self._lanes[agent] = lane
                    group.create_task(lane.run())

    def _spawn(self, assignment: Assignment, attempts: asyncio.TaskGroup) -> None:
        """Runs an attempt, whose slot is taken."""
        task = attempts.create_task(self._use_slot(assignment, attempts))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _use_slot(self, first: Assignment, attempts: asyncio.TaskGroup) -> None:
        """Runs attempts, one after the other, as long as one lets another of the same agent go."""
        agent = first.attempt.agent
        slots = self._slots.of(agent)
        following: Assignment | None = first
        streak = 0
        try:
            while following is not None:
                streak += 1
                ended = await self._attempt(following, streak)
                following = None
                for assignment in ended.begun.assignments:
                    if following is None and assignment.attempt.agent == agent:
                        following = assignment
                    else:
                        self._slots.of(assignment.attempt.agent).take(1)
                        self._spawn(assignment, attempts)
        finally:
            slots.give(1)

    async def _attempt(self, assignment: Assignment, streak: int) -> Ended:
        attempt, counts = assignment.attempt, metrics.of_agent(assignment.attempt.agent)
        ids: Any = {"task_id": attempt.task_id, "step_id": attempt.step_id, "agent": attempt.agent}
        counts.started.inc()
        counts.queue_wait.observe(assignment.queue_wait_ms / 1000)
        began = time.monotonic()
        with (
            remote_span("step", assignment.traceparent, **ids, attempt=attempt.number),
            bound(**ids, attempt=attempt.number),
        ):
            try:
                with self._leases.hold(attempt) as holder:
                    outcome = await self._runner.execute(assignment, on_lost=holder.lose)
                    elapsed = time.monotonic() - began
                    ended = await self._record(assignment, outcome, streak)
                counts.step_seconds.observe(elapsed)
                counts.ended(ended.outcome).inc()
                _tell(ended, outcome, elapsed)
                return ended
            except AttemptLostError:
                counts.ended("lost").inc()
                metrics.FENCED.inc()
                get_logger().warning("attempt lost: its lease ran out, or its task ended")
            except CallInterruptedError:
                counts.ended("handed_back").inc()
                get_logger().warning("attempt handed back: another call broke the stream that it shared")
                await persistently(lambda: self._store.hand_back(attempt))
            except Exception:  # noqa: BLE001 - the worker's loop: one attempt must not end the others
                get_logger().exception("attempt dropped; its lease will run out")
            except asyncio.CancelledError:
                counts.ended("handed_back").inc()
                await in_time(self._store.hand_back(attempt))
                raise
        return Ended("lost")

    async def _record(self, assignment: Assignment, outcome: Outcome, streak: int) -> Ended:
        agent = assignment.attempt.agent
        if self._draining:
            return await self._runner.record(assignment, outcome, rooms={}, take=False)
        with self._slots.offered(list(self._lanes)) as offered:
            own = streak < _STREAK
            rooms = {**offered, agent: offered[agent] + own}
            ended = await self._runner.record(assignment, outcome, rooms=rooms, take=own)
        self._lanes[agent].note(assignment.attempt.partition, ended.begun)
        return ended


def _tell(ended: Ended, outcome: Outcome, elapsed_seconds: float) -> None:
    elapsed_ms = round(elapsed_seconds * 1000, 1)
    if isinstance(outcome, TroupeError):
        get_logger().warning(
            "attempt ended",
            outcome=ended.outcome,
            reason=outcome.reason_name,
            problem=outcome.message,
            elapsed_ms=elapsed_ms,
        )
    else:
        get_logger().info("attempt ended", outcome=ended.outcome, elapsed_ms=elapsed_ms)
    if ended.task_state:
        state = TaskState.Name(TaskState.ValueType(ended.task_state)).removeprefix("TASK_STATE_").lower()
        get_logger().info("task ended", state=state)
