"""A gRPC server of the task API and the memory API that tells scripted histories and cuts streams where it is told."""

import asyncio
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio

from tests.support.contexts import Context
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.memory.v1 import memory_service_pb2 as memory
from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceServicer, add_MemoryServiceServicer_to_server
from troupe.api.orchestrator.v1 import event_pb2 as ev
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import (
    OrchestratorServiceServicer,
    add_OrchestratorServiceServicer_to_server,
)
from troupe.api.orchestrator.v1.task_pb2 import Plan, Planner, Task, TaskMetrics, TaskOutput, TaskSpec, TaskState
from troupe.core.errors import TroupeError
from troupe.core.server import Drain, ServerSettings, draining_error, serving

TASK_ID = "01task"
REPORT = "**Nothing is lost** [1].\n\n## Sources\n\n1. Guide › Leases, guide.md, characters 3–99"  # noqa: RUF001


def history(task_id: str = TASK_ID) -> list[ev.TaskEvent]:
    """A task of two steps, one of them retried."""
    plan = Plan(
        planner=Planner.PLANNER_RULES,
        steps=[
            Step(step_id="find", agent="retriever", title="Find passages", instruction="find"),
            Step(step_id="write", agent="writer", title="Write the report", instruction="write", depends_on=["find"]),
        ],
    )
    failed = ev.StepFailed(step_id="write", attempt=1, will_retry=True)
    failed.error.message = "the model sleeps"
    events = [
        ev.TaskEvent(task_submitted=ev.TaskSubmitted(spec=TaskSpec(input="why?"))),
        ev.TaskEvent(task_planned=ev.TaskPlanned(plan=plan)),
        ev.TaskEvent(step_started=ev.StepStarted(step_id="find", agent="retriever", attempt=1)),
        ev.TaskEvent(step_progress=ev.StepProgress(step_id="find", attempt=1, message="searching", fraction=0.5)),
        ev.TaskEvent(tool_started=ev.ToolStarted(step_id="find", attempt=1, call_id="1", tool="memory_search")),
        ev.TaskEvent(tool_finished=ev.ToolFinished(step_id="find", attempt=1, call_id="1", tool="memory_search")),
        ev.TaskEvent(step_completed=ev.StepCompleted(step_id="find", attempt=1, output=StepOutput(text="found"))),
        ev.TaskEvent(step_started=ev.StepStarted(step_id="write", agent="writer", attempt=1)),
        ev.TaskEvent(text_delta=ev.TextDelta(step_id="write", attempt=1, text="Not this")),
        ev.TaskEvent(step_failed=failed),
        ev.TaskEvent(step_started=ev.StepStarted(step_id="write", agent="writer", attempt=2)),
        ev.TaskEvent(text_delta=ev.TextDelta(step_id="write", attempt=2, text="Nothing ")),
        ev.TaskEvent(text_delta=ev.TextDelta(step_id="write", attempt=2, text="is lost")),
        ev.TaskEvent(step_completed=ev.StepCompleted(step_id="write", attempt=2, output=StepOutput(text=REPORT))),
        ev.TaskEvent(task_completed=ev.TaskCompleted(output=TaskOutput(text=REPORT))),
    ]
    for number, event in enumerate(events, start=1):
        event.task_id = task_id
        event.sequence = number
        event.event_time.FromMilliseconds(1_700_000_000_000 + 100 * number)
    return events


@dataclass
class Cut:
    """Ends a stream after so many of its events."""

    after_events: int
    error: TroupeError | grpc.StatusCode | None = field(default_factory=draining_error)
    """None ends the stream as if nothing were wrong."""


class TaskServer(OrchestratorServiceServicer, MemoryServiceServicer):
    """`cuts` are used up one a stream; `pause_after` holds streams back at a sequence until `go_on` is set,
    `silent` from the start. `told` is how far each `WatchTask` came.
    """

    def __init__(self) -> None:
        self.events = history()
        self.cuts: deque[Cut] = deque()
        self.batch = 1
        self.checkpoints = False
        self.pause_after = 0
        self.request = "why?"
        self.go_on = asyncio.Event()
        self.run_requests: list[pb.RunTaskRequest] = []
        self.submit_requests: list[pb.SubmitTaskRequest] = []
        self.resolve_requests: list[pb.ResolveApprovalRequest] = []
        self.watch_requests: list[pb.WatchTaskRequest] = []
        self.cancel_requests: list[pb.CancelTaskRequest] = []
        self.ingest_requests: list[memory.IngestRequest] = []
        self.documents: dict[str, memory.Document] = {}
        self.max_document_bytes = 1 << 20
        self.cancelled = asyncio.Event()
        self.listed: list[Task] = []
        self.tasks_per_page = 1000
        self.list_requests: list[pb.ListTasksRequest] = []
        self.silent = False
        self.holds_cancels = False
        self.told: list[int] = []
        self.watch_ended = asyncio.Event()

    async def RunTask(self, request: pb.RunTaskRequest, context: Context) -> AsyncIterator[pb.RunTaskResponse]:
        self.run_requests.append(request)
        async for events in self._tell(0, context):
            yield pb.RunTaskResponse(events=events)

    def RunTasks(self, requests: object, context: Context) -> AsyncIterator[pb.RunTasksResponse]:
        raise NotImplementedError

    async def WatchTask(self, request: pb.WatchTaskRequest, context: Context) -> AsyncIterator[pb.WatchTaskResponse]:
        self.watch_requests.append(request)
        self._known(request.task_id)
        stream = len(self.told)
        self.told.append(request.after_sequence)
        try:
            if self.silent:
                await self.go_on.wait()
            async for events in self._tell(request.after_sequence, context):
                self.told[stream] = events[-1].sequence
                yield pb.WatchTaskResponse(events=events)
        finally:
            self.watch_ended.set()

    async def _tell(self, after: int, context: Context) -> AsyncIterator[Sequence[ev.TaskEvent]]:
        cut = self.cuts.popleft() if self.cuts else None
        told = 0
        if self.checkpoints:
            yield [ev.TaskEvent(task_id=TASK_ID, checkpoint=ev.Checkpoint(last_sequence=after))]
        waiting = self.events[after:]
        while waiting:
            if cut is not None and told >= cut.after_events:
                if isinstance(cut.error, grpc.StatusCode):
                    await context.abort(cut.error, "cut by a proxy")
                if cut.error is not None:
                    raise cut.error
                return
            batch, waiting = waiting[: self.batch], waiting[self.batch :]
            yield batch
            told += len(batch)
            if batch[-1].sequence == self.pause_after:
                await self.go_on.wait()

    async def SubmitTask(self, request: pb.SubmitTaskRequest, context: Context) -> pb.SubmitTaskResponse:
        self.submit_requests.append(request)
        plan = self.events[1].task_planned.plan
        return pb.SubmitTaskResponse(task=Task(task_id=TASK_ID, spec=request.task, plan=plan))

    async def GetTaskMetrics(self, request: pb.GetTaskMetricsRequest, context: Context) -> pb.GetTaskMetricsResponse:
        self._known(request.task_id)
        return pb.GetTaskMetricsResponse(metrics=TaskMetrics(task_id=request.task_id, events=len(self.events)))

    async def RetryTask(self, request: pb.RetryTaskRequest, context: Context) -> pb.RetryTaskResponse:
        raise NotImplementedError

    async def ResolveApproval(self, request: pb.ResolveApprovalRequest, context: Context) -> pb.ResolveApprovalResponse:
        self.resolve_requests.append(request)
        if request.step_id not in {"find", "write"}:
            raise TroupeError(ErrorReason.ERROR_REASON_STEP_NOT_FOUND, f"no step has the id {request.step_id!r}")
        return pb.ResolveApprovalResponse(task=Task(task_id=request.task_id, state=TaskState.TASK_STATE_RUNNING))

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        self._known(request.task_id)
        return pb.GetTaskResponse(task=self._task())

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        if not self.listed:
            return pb.ListTasksResponse(tasks=[self._task()])
        self.list_requests.append(request)
        start = int(request.page_token or 0)
        end = start + min(request.page_size, self.tasks_per_page)
        token = str(end) if end < len(self.listed) else ""
        return pb.ListTasksResponse(tasks=self.listed[start:end], next_page_token=token)

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        agent = AgentDescriptor(name="writer", description="writes the report")
        return pb.ListAgentsResponse(agents=[pb.AgentStatus(agent=agent, address="127.0.0.1:1", available=True)])

    async def PlanTask(self, request: pb.PlanTaskRequest, context: Context) -> pb.PlanTaskResponse:
        return pb.PlanTaskResponse(plan=self.events[1].task_planned.plan)

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:
        self.cancel_requests.append(request)
        if self.holds_cancels:
            await self.go_on.wait()
        self.cancelled.set()
        return pb.CancelTaskResponse(task=Task(task_id=request.task_id, state=TaskState.TASK_STATE_CANCELLED))

    async def GetStats(self, request: memory.GetStatsRequest, context: Context) -> memory.GetStatsResponse:
        return memory.GetStatsResponse(max_document_bytes=self.max_document_bytes)

    async def ListDocuments(
        self, request: memory.ListDocumentsRequest, context: Context
    ) -> memory.ListDocumentsResponse:
        """Pages of two, by URI, as the memory's are."""
        wanted = [
            uri for uri, d in self.documents.items() if not request.HasField("source") or request.source in d.sources
        ]
        rest = sorted(uri for uri in wanted if uri > request.page_token)
        page = [self.documents[uri] for uri in rest[:2]]
        return memory.ListDocumentsResponse(documents=page, next_page_token=rest[1] if len(rest) > 2 else "")

    async def Ingest(self, request: memory.IngestRequest, context: Context) -> AsyncIterator[memory.IngestResponse]:
        self.ingest_requests.append(request)
        for source in request.documents:
            known = self.documents.get(source.uri)
            document = memory.Document(document_id=f"id of {source.uri}", uri=source.uri, metadata=source.metadata)
            document.sources.extend(sorted({request.source, *(known.sources if known else ())}))
            self.documents[source.uri] = document
            status = memory.INGEST_STATUS_UNCHANGED if known else memory.INGEST_STATUS_CREATED
            yield memory.IngestResponse(result=memory.IngestResult(uri=source.uri, status=status, document=document))

    async def Search(self, request: memory.SearchRequest, context: Context) -> memory.SearchResponse:
        raise NotImplementedError

    async def Delete(self, request: memory.DeleteRequest, context: Context) -> memory.DeleteResponse:
        gone = [uri for uri, document in self.documents.items() if document.document_id in request.document_ids]
        for uri in gone:
            del self.documents[uri]
        return memory.DeleteResponse(deleted_documents=len(gone))

    async def ListSources(self, request: memory.ListSourcesRequest, context: Context) -> memory.ListSourcesResponse:
        counts = Counter(source for document in self.documents.values() for source in document.sources)
        sources = [memory.Source(name=name, documents=counts[name]) for name in sorted(counts)]
        return memory.ListSourcesResponse(sources=sources)

    async def ReleaseDocuments(
        self, request: memory.ReleaseDocumentsRequest, context: Context
    ) -> memory.ReleaseDocumentsResponse:
        released = deleted = 0
        for uri, document in list(self.documents.items()):
            left = [source for source in document.sources if source not in request.sources]
            if document.document_id in request.document_ids and len(left) < len(document.sources):
                released += 1
                document.sources[:] = left
                if not left:
                    deleted += 1
                    del self.documents[uri]
        return memory.ReleaseDocumentsResponse(released_documents=released, deleted_documents=deleted)

    async def ForgetSource(self, request: memory.ForgetSourceRequest, context: Context) -> memory.ForgetSourceResponse:
        ids = [document.document_id for document in self.documents.values()]
        release = memory.ReleaseDocumentsRequest(sources=[request.source], document_ids=ids)
        done = await self.ReleaseDocuments(release, context)
        return memory.ForgetSourceResponse(
            released_documents=done.released_documents, deleted_documents=done.deleted_documents
        )

    async def GetDocument(self, request: memory.GetDocumentRequest, context: Context) -> memory.GetDocumentResponse:
        raise NotImplementedError

    def _known(self, task_id: str) -> None:
        if task_id != TASK_ID:
            raise TroupeError(ErrorReason.ERROR_REASON_TASK_NOT_FOUND, f"no task has the id {task_id!r}")

    def _task(self) -> Task:
        task = Task(task_id=TASK_ID, state=TaskState.TASK_STATE_COMPLETED, spec=TaskSpec(input=self.request))
        if self.events[-1].HasField("task_cancelled"):
            task.state = TaskState.TASK_STATE_CANCELLED
            task.last_sequence = len(self.events)
        else:
            task.output.text = REPORT
        return task


def long_history(count: int, *, text_bytes: int) -> list[ev.TaskEvent]:
    """A task that says much."""
    delta = ev.TextDelta(step_id="s", attempt=1, text="x" * text_bytes)
    told = [ev.TaskEvent(task_id=TASK_ID, sequence=number, text_delta=delta) for number in range(1, count)]
    return [*told, ev.TaskEvent(task_id=TASK_ID, sequence=count, task_completed=ev.TaskCompleted())]


@asynccontextmanager
async def task_server(listen: str = "127.0.0.1:0") -> AsyncIterator[tuple[TaskServer, str]]:
    """Serves it; yields the server and its address."""
    server = TaskServer()

    def register_tasks(on: grpc.aio.Server) -> None:
        add_OrchestratorServiceServicer_to_server(server, on)

    def register_memory(on: grpc.aio.Server) -> None:
        add_MemoryServiceServicer_to_server(server, on)

    services = {
        "troupe.api.orchestrator.v1.OrchestratorService": register_tasks,
        "troupe.api.memory.v1.MemoryService": register_memory,
    }
    settings = ServerSettings(listen=listen, grace_seconds=0)
    async with serving(settings, drain=Drain(), services=services, dependencies={}) as address:
        yield server, address


async def main(listen: str, pause_after: str = "0") -> None:
    """Serves until it is killed; streams stop at a sequence."""
    async with task_server(listen) as (server, _):
        server.pause_after = int(pause_after)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
