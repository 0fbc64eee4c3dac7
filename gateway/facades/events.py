"""Events of tasks as JSON: the same for every facade."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.facades.failure import compact_json
from gateway.facades.messages import MessageReader, decode, to_fields
from troupe.api.orchestrator.v1 import event_pb2
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb

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

    def __init__(self) -> None:
        self._messages = MessageReader()
        self.last_name = ""
        """Of the newest event; empty before the first."""

    def feed(self, data: bytes, write: Callable[[NamedEvent], bytes]) -> bytes:
        """The part of the client's body that a part of the backend's gives.

        Raises:
            ResponseError: the backend sent what are no events.
        """
        parts: list[bytes] = []
        for message in self._messages.feed(data):
            for event in decode(pb.WatchTaskResponse, message).events:
                named = _named(event)
                if named.name != CHECKPOINT:
                    self.last_name = named.name
                parts.append(write(named))
        return b"".join(parts)


def _named(event: event_pb2.TaskEvent) -> NamedEvent:
    name: str | None = event.WhichOneof("event")
    if name == CHECKPOINT:
        return NamedEvent(CHECKPOINT, event.checkpoint.last_sequence, "")
    # An event that only newer servers know has no name here, and yet a place in the history.
    return NamedEvent(name or "unknown", event.sequence, compact_json(to_fields(event)))
