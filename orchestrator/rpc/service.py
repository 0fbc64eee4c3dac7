"""`OrchestratorService`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import APPROVAL_DECISION_APPROVE, ApprovalResolved
from troupe.api.orchestrator.v1.task_pb2 import Task, TaskMetrics
from troupe.core.errors import TroupeError
from troupe.core.projects import DEFAULT_PROJECT
from troupe.core.server import Drain
from troupe.orchestrator.directory import AgentDirectory, works_in_worker
from troupe.orchestrator.intake.submission import Submission
from troupe.orchestrator.rpc.pages import decode_page_token, encode_page_token
from troupe.orchestrator.rpc.session import Session
from troupe.orchestrator.store.history import mark_at
from troupe.orchestrator.store.records import task_message
from troupe.orchestrator.store.tasks import TaskStore
from troupe.orchestrator.watch.hub import Hub

_DEFAULT_PAGE_SIZE = 50
_SESSION_BYTES = 1 << 20

Context = grpc.aio.ServicerContext[Any, Any]


class OrchestratorServicer:
    """The task API over a store. Streams yield encoded responses, see `orchestrator.rpc.registration`."""

    def __init__(
        self, *, tasks: TaskStore, submission: Submission, hub: Hub, directory: AgentDirectory, drain: Drain
    ) -> None:
        self._tasks = tasks
        self._submission = submission
        self._hub = hub
        self._directory = directory
        self._drain = drain

    async def RunTask(self, request: pb.RunTaskRequest, context: Context) -> AsyncIterator[bytes]:
        """Submits and watches."""
        handler = asyncio.current_task()  # what is left of this may be closed by another
        self._hub.check_room()
        task_id = await self._submission.submit(request.task, request.request_id)
        try:
            async for response in self._hub.watch(task_id, 0):
                yield response
        except (asyncio.CancelledError, GeneratorExit):  # the one while waiting, the other while sending
            stopped_here = self._drain.started or self._hub.broke_off(handler)
            if request.on_disconnect == pb.ON_DISCONNECT_CANCEL and not stopped_here:
                await self._cancel_abandoned(task_id)
            raise

    async def RunTasks(self, requests: AsyncIterator[pb.RunTasksRequest], context: Context) -> AsyncIterator[bytes]:
        """Submits and follows many."""
        session = Session(submission=self._submission, feed=self._hub.open_feed(capacity_bytes=_SESSION_BYTES))
        async with aclosing(session.responses(requests)) as responses:
            async for response in responses:
                yield response

    async def WatchTask(self, request: pb.WatchTaskRequest, context: Context) -> AsyncIterator[bytes]:
        """Replays and follows."""
        known = request.after_sequence and request.HasField("after_event_time")
        mark = mark_at(request.after_event_time) if known else b""
        async for response in self._hub.watch(request.task_id, request.after_sequence, mark):
            yield response

    async def SubmitTask(self, request: pb.SubmitTaskRequest, context: Context) -> pb.SubmitTaskResponse:
        """Plans, stores, dispatches."""
        task_id = await self._submission.submit(request.task, request.request_id)
        return pb.SubmitTaskResponse(task=await self._task(task_id))

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        """Returns a task with its steps."""
        return pb.GetTaskResponse(task=await self._task(request.task_id))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        """Lists tasks, newest first."""
        size = request.page_size or _DEFAULT_PAGE_SIZE
        before = decode_page_token(request.page_token, request.states)
        page = await self._tasks.newest(DEFAULT_PROJECT, size=size, before=before, states=request.states)
        response = pb.ListTasksResponse(tasks=[task_message(stored, whole=False) for _, stored in page.tasks])
        if page.next is not None:
            response.next_page_token = encode_page_token(page.next, request.states)
        return response

    async def GetTaskMetrics(self, request: pb.GetTaskMetricsRequest, context: Context) -> pb.GetTaskMetricsResponse:
        """Returns what a task took so far."""
        encoded = await self._tasks.metrics(request.task_id)
        return pb.GetTaskMetricsResponse(metrics=TaskMetrics.FromString(encoded))

    async def PlanTask(self, request: pb.PlanTaskRequest, context: Context) -> pb.PlanTaskResponse:
        """Plans and runs nothing."""
        return pb.PlanTaskResponse(plan=await self._submission.plan(request.task))

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        """Lists the agents of every server, and those that are known and away."""
        found = [
            pb.AgentStatus(agent=agent, address=server.address, available=server.available)
            for server in self._directory.servers
            for agent in server.agents.values()
        ]
        found += [
            pb.AgentStatus(
                agent=known.descriptor,
                address=known.address,
                available=works_in_worker(known),
                last_seen_time=_time(known.last_seen_ms),
            )
            for known in self._directory.away.values()
        ]
        return pb.ListAgentsResponse(agents=sorted(found, key=lambda status: (status.agent.name, status.address)))

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:
        """Cancels a task."""
        after_step = request.mode == pb.CANCEL_MODE_AFTER_STEP
        await self._tasks.cancel(request.task_id, after_step=after_step, reason=request.reason)
        return pb.CancelTaskResponse(task=await self._task(request.task_id))

    async def RetryTask(self, request: pb.RetryTaskRequest, context: Context) -> pb.RetryTaskResponse:
        """Takes up a failed task."""
        await self._submission.check_again(await self._tasks.get(request.task_id))
        await self._tasks.retry(request.task_id, request_id=request.request_id)
        return pb.RetryTaskResponse(task=await self._task(request.task_id))

    async def ResolveApproval(self, request: pb.ResolveApprovalRequest, context: Context) -> pb.ResolveApprovalResponse:
        """Records a person's decision."""
        resolved = ApprovalResolved(
            step_id=request.step_id,
            decision=request.decision,
            comment=request.comment,
            decided_by=request.decided_by,
        )
        await self._tasks.resolve(
            request.task_id,
            request.step_id,
            approve=request.decision == APPROVAL_DECISION_APPROVE,
            resolved=resolved.SerializeToString(),
        )
        return pb.ResolveApprovalResponse(task=await self._task(request.task_id))

    async def _task(self, task_id: str) -> Task:
        return task_message(await self._tasks.get(task_id), whole=True)

    async def _cancel_abandoned(self, task_id: str) -> None:
        try:
            await self._tasks.cancel(task_id, after_step=False, reason="the client of RunTask went away")
        except TroupeError as error:
            if error.reason != ErrorReason.ERROR_REASON_INVALID_TASK_STATE:  # it ended meanwhile
                raise


def _time(milliseconds: int) -> Timestamp:
    time = Timestamp()
    time.FromMilliseconds(milliseconds)
    return time
