"""Events for programs: ProtoJSON, one a line."""

import json

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.cli.streams import note, say_json, takes_unicode
from troupe.cli.view import TaskView
from troupe.core.terminal_text import json_text


def print_json(message: Message) -> None:
    """One message on one line, at once."""
    say_json(json_text(MessageToJson(message, indent=None, ensure_ascii=not takes_unicode())))


def print_record(record: object) -> None:
    """The same for what is no message."""
    say_json(json_text(json.dumps(record, ensure_ascii=not takes_unicode())))


class JsonProgress:
    """Events on standard output, all else on standard error."""

    def show(self, event: TaskEvent, _view: TaskView) -> None:
        """Prints the event."""
        print_json(event)

    def say(self, message: str) -> None:
        """Prints on standard error."""
        note(message)

    def close(self) -> None:
        """Does nothing."""

    def result(self, _view: TaskView) -> None:
        """Does nothing: the last event holds it."""
