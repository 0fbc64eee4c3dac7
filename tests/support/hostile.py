"""A task server all of whose texts try to act upon the terminal that shows them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import grpc.aio
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.support.contexts import Context
from tests.support.task_server import TaskServer, history
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.memory.v1.memory_service_pb2_grpc import add_MemoryServiceServicer_to_server
from troupe.api.orchestrator.v1 import event_pb2 as ev
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import add_OrchestratorServiceServicer_to_server
from troupe.api.orchestrator.v1.task_pb2 import StepStatus
from troupe.core.errors import TroupeError
from troupe.core.server import Drain, ServerSettings, serving

# Clears the screen, moves the cursor, sets title and clipboard, links elsewhere, rings, overwrites, reorders, hides.
HOSTILE: Final = (
    "\x1b[2J\x1b[H\x9b2J\x1b]0;title\x07\x1b]52;c;eA==\x1b\\\x1b]8;;http://evil\x1b\\x\x1b]8;;\x1b\\"
    "\x90q\x9c\x07\x08\x7f\rEVIL\u202eLIVE\u202c\u2066a\u2069\u2028b\u2029\u200bc\ufeffd"
    "[bold red]e[/] [link=http://evil]f[/link] :bomb:"
)
_Message = TypeVar("_Message", bound=Message)


def poisoned(message: _Message) -> _Message:
    """The message with every text in it made hostile, maps and messages inside included."""
    result = type(message)()
    result.CopyFrom(message)
    _poison(result)
    return result


def _poison(message: Message) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        value: Any = getattr(message, field.name)
        if field.type == FieldDescriptor.TYPE_STRING and field.containing_oneof is None:
            if field.is_repeated:
                value[:] = [text + HOSTILE for text in value]
            else:
                setattr(message, field.name, value + HOSTILE)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value] if message.HasField(field.name) else []:
                _poison(inner)


class HostileServer(TaskServer):
    """Answers as the task server does, poisoned."""

    def __init__(self) -> None:
        super().__init__()
        self.events = [poisoned(event) for event in _eventful()]

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        task = self._task()
        step = Step(step_id="find", agent="retriever", title="Find", instruction="find")
        failed = StepStatus(step=step)
        failed.error.message = "it failed"
        task.steps.extend([StepStatus(step=step), failed])
        task.error.message = "so did the task"
        return pb.GetTaskResponse(task=poisoned(task))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        return poisoned(await super().ListTasks(request, context))

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        return poisoned(await super().ListAgents(request, context))

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:
        return poisoned(await super().CancelTask(request, context))

    async def SubmitTask(self, request: pb.SubmitTaskRequest, context: Context) -> pb.SubmitTaskResponse:
        return poisoned(await super().SubmitTask(request, context))

    async def RetryTask(self, request: pb.RetryTaskRequest, context: Context) -> pb.RetryTaskResponse:
        raise TroupeError(ErrorReason.ERROR_REASON_INVALID_TASK_STATE, f"refused{HOSTILE}\ntroupe: all is well")

    def _known(self, task_id: str) -> None:
        """Every id is known."""


def _eventful() -> list[ev.TaskEvent]:
    """A history with an event of every kind."""
    *told, end = history()
    more = Step(step_id="more", agent="writer", title="More", instruction="more")
    failed = ev.StepFailed(step_id="more", attempt=1)
    failed.error.message = "no"
    told += [
        ev.TaskEvent(steps_added=ev.StepsAdded(parent_step_id="write", steps=[more])),
        ev.TaskEvent(approval_requested=ev.ApprovalRequested(step_id="more", summary="may I?")),
        ev.TaskEvent(approval_resolved=ev.ApprovalResolved(step_id="more", decided_by="me", comment="yes")),
        ev.TaskEvent(step_failed=failed),
        ev.TaskEvent(task_retried=ev.TaskRetried(step_ids=["more"])),
        end,
    ]
    for number, event in enumerate(told, start=1):
        event.task_id, event.sequence = end.task_id, number
        event.event_time.FromMilliseconds(1_700_000_000_000 + 100 * number)
    return told


@asynccontextmanager
async def hostile_server() -> AsyncIterator[str]:
    """Serves it; yields the address."""
    server = HostileServer()

    def register(on: grpc.aio.Server) -> None:
        add_OrchestratorServiceServicer_to_server(server, on)
        add_MemoryServiceServicer_to_server(server, on)

    services = {"troupe.api.orchestrator.v1.OrchestratorService": register}
    settings = ServerSettings(listen="127.0.0.1:0", grace_seconds=0)
    async with serving(settings, drain=Drain(), services=services, dependencies={}) as address:
        yield address
