"""The body of a webhook: a small JSON document about a task that has ended."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from troupe.api.orchestrator.v1.task_pb2 import Task, TaskState

MAX_BYTES: Final = 256 << 10

_TYPES: Final[Mapping["TaskState.ValueType", str]] = {
    TaskState.TASK_STATE_COMPLETED: "task.completed",
    TaskState.TASK_STATE_FAILED: "task.failed",
    TaskState.TASK_STATE_CANCELLED: "task.cancelled",
}
_ERROR_MESSAGE_LENGTH: Final = 2_000


def has_ended(task: Task) -> bool:
    """Whether there is something to tell. A failed task that was taken up again has not ended."""
    return task.state in _TYPES


def payload(task: Task) -> bytes:
    """The body for a task that has ended: the same bytes for the same task, at most `MAX_BYTES`.

    `data` is protobuf's JSON mapping of the task with the fields' own names; what is too long is left out and said.
    """
    brief = Task(
        task_id=task.task_id,
        project=task.project,
        state=task.state,
        last_sequence=task.last_sequence,
        output=task.output if task.HasField("output") else None,
        error=task.error if task.HasField("error") else None,
    )
    data = MessageToDict(brief, preserving_proto_field_name=True)
    data["labels"] = dict(sorted(task.spec.labels.items()))
    event = {"type": _TYPES[task.state], "timestamp": task.end_time.ToJsonString(), "data": data}
    return _bounded(event)


def _bounded(event: dict[str, Any]) -> bytes:
    body = _encode(event)
    for shorten in _SHORTENINGS:
        if len(body) <= MAX_BYTES:
            break
        shorten(event["data"])
        body = _encode(event)
    return body


def _encode(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def _without_text(data: dict[str, Any]) -> None:
    if "output" in data:
        data["output"].pop("text", None)
        data["output_truncated"] = True


def _without_citations(data: dict[str, Any]) -> None:
    if "output" in data:
        data["output"].pop("citations", None)


def _with_a_short_error(data: dict[str, Any]) -> None:
    if "error" in data:
        data["error"].pop("metadata", None)
        data["error"]["message"] = data["error"].get("message", "")[:_ERROR_MESSAGE_LENGTH]
        data["error_truncated"] = True


def _without_labels(data: dict[str, Any]) -> None:
    del data["labels"]
    data["labels_truncated"] = True


# What receivers miss least goes first.
_SHORTENINGS: Final[tuple[Callable[[dict[str, Any]], None], ...]] = (
    _without_text,
    _without_citations,
    _with_a_short_error,
    _without_labels,
)
