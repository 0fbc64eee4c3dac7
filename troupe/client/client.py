"""The client: every method of the task API, with streams that survive a cut."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc.aio

from troupe.api.inference.v1.inference_service_pb2 import ListModelsRequest, Model
from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from troupe.api.memory.v1.memory_service_pb2 import IngestResponse
from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as api
from troupe.api.orchestrator.v1.event_pb2 import (
    APPROVAL_DECISION_APPROVE,
    APPROVAL_DECISION_REJECT,
    TaskEvent,
)
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import Plan, Task, TaskMetrics, TaskSpec, TaskState
from troupe.client.cursor import Cursor
from troupe.client.documents import Documents
from troupe.client.errors import from_call
from troupe.client.folder import Folder
from troupe.client.follow import EventCall, follow
from troupe.client.ingestion import Ingestion
from troupe.client.patience import Patience
from troupe.client.settings import ClientSettings
from troupe.core.channels import open_channel
from troupe.core.ids import new_id

_Reply = TypeVar("_Reply")


class TroupeClient:
    """Talks to one orchestrator. Use it as an async context manager.

    Every method raises `troupe.core.errors.TroupeError`. Streams are async generators: close those that are
    not read to their end (`contextlib.aclosing`), which leaves the task as it is.
    """

    def __init__(self, target: str | None = None, *, settings: ClientSettings | None = None) -> None:
        """`target` wins over the settings; the settings are read from the environment unless given."""
        self._settings = settings or ClientSettings.load()
        self.target = target or self._settings.target

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self.target, max_message_bytes=self._settings.max_message_bytes)
        self._tasks = OrchestratorServiceStub(self._channel)
        self._memory = MemoryServiceStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    def run(
        self,
        task: TaskSpec | str,
        *,
        request_id: str | None = None,
        on_disconnect: "api.OnDisconnect.ValueType" = api.OnDisconnect.ON_DISCONNECT_DETACH,
        checkpoints: bool = False,
    ) -> AsyncGenerator[TaskEvent]:
        """Submits a task and yields its events from the first to the terminal one.

        A cut stream is opened again where it was; the same `request_id` attaches to the same task.
        """
        request = api.RunTaskRequest(task=_spec(task), request_id=request_id or new_id(), on_disconnect=on_disconnect)

        def open_stream(cursor: Cursor) -> EventCall:
            return self._watch(cursor) if cursor.task_id else self._tasks.RunTask(request)

        return follow(
            open_stream, cursor=Cursor(), target=self.target, patience=self._patience, checkpoints=checkpoints
        )

    def watch(self, task_id: str, *, after_sequence: int = 0, checkpoints: bool = False) -> AsyncGenerator[TaskEvent]:
        """Yields the events of a task after a sequence: first those stored, then live ones, to the terminal one."""
        cursor = Cursor(task_id, after_sequence)
        return follow(self._watch, cursor=cursor, target=self.target, patience=self._patience, checkpoints=checkpoints)

    async def submit(self, task: TaskSpec | str, *, request_id: str | None = None) -> Task:
        """Submits a task; it cannot be lost once this returns."""
        request = api.SubmitTaskRequest(task=_spec(task), request_id=request_id or new_id())
        return (await self._answer(self._tasks.SubmitTask(request, timeout=self._deadline))).task

    async def get(self, task_id: str) -> Task:
        """Returns a task with its steps and its output."""
        return (
            await self._answer(self._tasks.GetTask(api.GetTaskRequest(task_id=task_id), timeout=self._deadline))
        ).task

    async def list_tasks(
        self, *, page_size: int = 0, page_token: str = "", states: Sequence["TaskState.ValueType"] = ()
    ) -> api.ListTasksResponse:
        """Returns a page of tasks, newest first."""
        request = api.ListTasksRequest(page_size=page_size, page_token=page_token, states=states)
        return await self._answer(self._tasks.ListTasks(request, timeout=self._deadline))

    async def cancel(
        self,
        task_id: str,
        *,
        mode: "api.CancelMode.ValueType" = api.CancelMode.CANCEL_MODE_IMMEDIATE,
        reason: str = "",
    ) -> Task:
        """Cancels a task; cancelling it again changes nothing."""
        request = api.CancelTaskRequest(task_id=task_id, mode=mode, reason=reason, request_id=new_id())
        return (await self._answer(self._tasks.CancelTask(request, timeout=self._deadline))).task

    async def retry(self, task_id: str) -> Task:
        """Takes up a failed task from the steps that did not complete."""
        request = api.RetryTaskRequest(task_id=task_id, request_id=new_id())
        return (await self._answer(self._tasks.RetryTask(request, timeout=self._deadline))).task

    async def resolve_approval(
        self, task_id: str, step_id: str, *, approve: bool, comment: str = "", decided_by: str = ""
    ) -> Task:
        """Lets a step that waits for a person go on, or fail."""
        request = api.ResolveApprovalRequest(
            task_id=task_id,
            step_id=step_id,
            decision=APPROVAL_DECISION_APPROVE if approve else APPROVAL_DECISION_REJECT,
            comment=comment,
            decided_by=decided_by,
            request_id=new_id(),
        )
        return (await self._answer(self._tasks.ResolveApproval(request, timeout=self._deadline))).task

    async def metrics(self, task_id: str) -> TaskMetrics:
        """Returns what a task took so far."""
        request = api.GetTaskMetricsRequest(task_id=task_id)
        return (await self._answer(self._tasks.GetTaskMetrics(request, timeout=self._deadline))).metrics

    async def plan(self, task: TaskSpec | str) -> Plan:
        """Returns the plan that a submission would run; runs nothing."""
        request = api.PlanTaskRequest(task=_spec(task))
        return (await self._answer(self._tasks.PlanTask(request, timeout=self._deadline))).plan

    async def agents(self) -> Sequence[api.AgentStatus]:
        """Returns the agents that steps can name."""
        return (await self._answer(self._tasks.ListAgents(api.ListAgentsRequest(), timeout=self._deadline))).agents

    async def models(self) -> Sequence[Model]:
        """Returns the models of the deployment, and whether they can be called now."""
        stub = InferenceServiceStub(self._channel)
        return (await self._answer(stub.ListModels(ListModelsRequest(), timeout=self._deadline))).models

    def ingest(
        self,
        folder: Folder | Path | str,
        *,
        project: str = "",
        on_forgotten: Callable[[int], None] | None = None,
    ) -> AsyncGenerator[IngestResponse]:
        """Stores the files below a folder that can be read, and yields progress and one result a file.

        The folder becomes a source of the documents, besides those that hold them already; its absolute path is its
        name, by which `TaskSpec.memory_filter` finds them (`Folder.filter`). What cannot be read or is too large fails
        alone, with a result that says so. After the last file the documents of this folder whose files are gone are
        forgotten, unless only a part of it was ingested; `on_forgotten` is told how many they were, if any.

        Raises:
            TroupeError: the folder does not exist, or holds nothing to store or forget; a call failed.
        """
        found = folder if isinstance(folder, Folder) else Folder.scan(Path(folder))
        return Ingestion(self._memory, target=self.target, project=project).run(found, on_forgotten=on_forgotten)

    def documents(self, *, project: str = "") -> Documents:
        """What the memory of a project holds."""
        return Documents(self._memory, target=self.target, call_seconds=self._deadline, project=project)

    def _watch(self, cursor: Cursor) -> EventCall:
        request = api.WatchTaskRequest(
            task_id=cursor.task_id, after_sequence=cursor.sequence, after_event_time=cursor.event_time
        )
        return self._tasks.WatchTask(request)

    async def _answer(self, call: Awaitable[_Reply]) -> _Reply:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise from_call(error, self.target) from None

    @property
    def _deadline(self) -> float:
        return self._settings.call_seconds

    @property
    def _patience(self) -> Patience:
        return Patience(
            connect_seconds=self._settings.connect_seconds,
            reconnect_seconds=self._settings.reconnect_seconds,
            silence_seconds=self._settings.silence_seconds,
        )


def _spec(task: TaskSpec | str) -> TaskSpec:
    return TaskSpec(input=task) if isinstance(task, str) else task
