"""Events for programs: ProtoJSON, one a line."""

import sys

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.cli.view import TaskView


def print_json(message: Message) -> None:
    """One message on one line, at once."""
    print(MessageToJson(message, indent=None, ensure_ascii=False), flush=True)


class JsonProgress:
    """Events on standard output, all else on standard error."""

    def show(self, event: TaskEvent, _view: TaskView) -> None:
        """Prints the event."""
        print_json(event)

    def say(self, message: str) -> None:
        """Prints on standard error."""
        print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Does nothing."""

    def result(self, _view: TaskView) -> None:
        """Does nothing: the last event holds it."""
