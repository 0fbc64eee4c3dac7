"""The person beside a task: decides on approvals, and has the task taken up again when it failed."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from tests.bench.chaos.graphs import Job
from tests.bench.chaos.view import View
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import ApprovalDecision

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

_LOOK_SECONDS: Final = 0.1
_THINK_SECONDS: Final = 1.0

Call = Callable[["Stub"], Awaitable[Any]]
CallUntil = Callable[[Call, str], Awaitable[grpc.StatusCode]]
"""Repeats a call until it is answered; OK, or FAILED_PRECONDITION when it comes too late."""


class Attendant:
    """Sees a task through a watcher's eyes. `retries` counts how often it was taken up again."""

    def __init__(self, task_id: str, job: Job, *, call: CallUntil, rng: Random) -> None:
        self.task_id = task_id
        self.retries = 0
        self._job = job
        self._call = call
        self._rng = rng
        self._left = False
        self._moved = asyncio.Condition()

    async def run(self, view: View) -> None:
        """Attends until the task has ended for good."""
        place = 0
        async with asyncio.TaskGroup() as group:
            while not self._left:
                await asyncio.sleep(_LOOK_SECONDS)
                seen, place = view.events[place:], len(view.events)
                for event in seen:
                    if event.HasField("approval_requested"):
                        group.create_task(self._decide(event.approval_requested.step_id))
                if view.ended and view.ends > self.retries:
                    await self._end(view)

    async def goes_on(self, view: View) -> bool:
        """Whether anything follows the end that a watcher has seen, once that is known."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._left or self.retries >= view.ends)
        return self.retries >= view.ends

    async def _end(self, view: View) -> None:
        again = view.events[-1].HasField("task_failed") and self.retries < self._job.retries
        if again:
            await asyncio.sleep(self._rng.uniform(0, _THINK_SECONDS))
            request = pb.RetryTaskRequest(task_id=self.task_id, request_id=f"{self.task_id}-{self.retries}")
            code = await self._call(lambda stub: stub.RetryTask(request, timeout=5), f"RetryTask of {self.task_id}")
            assert code is grpc.StatusCode.OK, code
        async with self._moved:
            self.retries += again
            self._left = not again
            self._moved.notify_all()

    async def _decide(self, step_id: str) -> None:
        await asyncio.sleep(self._rng.uniform(0, _THINK_SECONDS))
        approves = self._rng.random() >= self._job.rejects
        decision = ApprovalDecision.APPROVAL_DECISION_APPROVE if approves else ApprovalDecision.APPROVAL_DECISION_REJECT
        request = pb.ResolveApprovalRequest(task_id=self.task_id, step_id=step_id, decision=decision)
        what = f"ResolveApproval of {step_id} of {self.task_id}"
        await self._call(lambda stub: stub.ResolveApproval(request, timeout=5), what)
