"""Events of tasks as JSON: the same for every facade."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Final

from troupe.api.orchestrator.v1 import event_pb2
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.gateway.facades.messages import MessageReader, TaskCall, to_fields
from troupe.gateway.wire.json_text import compact_json
from troupe.gateway.wire.request import RequestHead

CHECKPOINT: Final = "checkpoint"
TERMINAL: Final = frozenset(("task_completed", "task_failed", "task_cancelled"))
EVENT_NAMES: Final = tuple(field.name for field in event_pb2.TaskEvent.DESCRIPTOR.oneofs_by_name["event"].fields)


@dataclass(frozen=True, slots=True)
class NamedEvent:
    """An event, or a checkpoint."""

    name: str
    sequence: int
    """That of the newest event where it is a checkpoint."""
    json: str
    """The `TaskEvent` in one line."""


class EventReader:
    """Events out of the gRPC body of `WatchTask`."""

    def __init__(self, *, max_response_bytes: int) -> None:
        self._responses = MessageReader(pb.WatchTaskResponse, max_response_bytes=max_response_bytes)

    def feed(self, data: bytes) -> list[NamedEvent]:
        """The events that are whole with the next bytes.

        Raises:
            ResponseError: the backend sent what are no events.
        """
        return [_named(event) for response in self._responses.feed(data) for event in response.events]


class WatchCall(TaskCall):
    """The dialect of a call that watches a task."""

    def __init__(self, head: RequestHead, request: pb.WatchTaskRequest, *, max_response_bytes: int) -> None:
        super().__init__(head)
        self._request = request
        self._events = EventReader(max_response_bytes=max_response_bytes)
        self._last_name = ""  # of the newest event

    def response(self, data: bytes) -> bytes:
        events = self._events.feed(data)
        self._last_name = next((e.name for e in reversed(events) if e.name != CHECKPOINT), self._last_name)
        return b"".join(map(self._write, events))

    def _message(self) -> pb.WatchTaskRequest:
        return self._request

    @abstractmethod
    def _write(self, event: NamedEvent) -> bytes:
        """An event as the client gets it."""


def _named(event: event_pb2.TaskEvent) -> NamedEvent:
    name: str | None = event.WhichOneof("event")
    if name == CHECKPOINT:
        return NamedEvent(CHECKPOINT, event.checkpoint.last_sequence, "")
    # An event that only newer servers know has no name here, and yet a place in the history.
    return NamedEvent(name or "unknown", event.sequence, compact_json(to_fields(event)))
