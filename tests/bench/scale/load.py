"""Submits many tasks over one stream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.core.ids import new_id

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

# Tasks in one message.
_MESSAGE: Final = 64


@dataclass
class Load:
    """So many equal tasks, of which so many are under way at once. The callbacks get how many there are by now."""

    task: TaskSpec
    count: int
    under_way: int
    accepted: Callable[[int], None] = lambda _: None
    completed: Callable[[int], None] = lambda _: None

    ids: list[str] = field(default_factory=list)
    """Of the tasks that were accepted."""

    async def run(self, stub: "Stub") -> Sequence[str]:
        """Returns the ids of the tasks when all have completed."""
        room = asyncio.Semaphore(self.under_way)
        ids = self.ids
        completed = 0
        async for response in stub.RunTasks(self._requests(room)):
            for event in response.events:
                if event.HasField("task_completed"):
                    completed += 1
                    room.release()
                    self.completed(completed)
            for result in response.results:
                assert result.task_id, result.error.message
                ids.append(result.task_id)
                self.accepted(len(ids))
        assert completed == len(ids) == self.count, f"{completed} of {self.count} tasks completed"
        return ids

    async def _requests(self, room: asyncio.Semaphore) -> AsyncIterator[pb.RunTasksRequest]:
        sent = 0
        while sent < self.count:
            await room.acquire()
            size = 1
            while size < min(_MESSAGE, self.count - sent) and not room.locked():
                await room.acquire()
                size += 1
            yield pb.RunTasksRequest(submissions=[self._submission() for _ in range(size)])
            sent += size

    def _submission(self) -> pb.TaskSubmission:
        return pb.TaskSubmission(task=self.task, request_id=new_id(), events=pb.EVENT_SELECTION_TERMINAL)
