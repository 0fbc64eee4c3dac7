"""The description of the facades, in OpenAPI.

https://spec.openapis.org/oas/v3.1.1.html

Schemas of answers come from the contract, lists of names from the code that reads and writes them.
"""

import json
from importlib.metadata import version
from typing import Any, Final

from troupe.api.orchestrator.v1 import event_pb2, task_pb2
from troupe.gateway.facades.commands import COMMANDS, Command
from troupe.gateway.facades.events import CHECKPOINT, EVENT_NAMES
from troupe.gateway.facades.failure import HTTP_STATUSES
from troupe.gateway.facades.requests import RUN_TASK_FIELDS
from troupe.gateway.facades.schemas import Schema, Schemas
from troupe.gateway.wire.http1 import PHRASES

_FIELDS: Final[dict[str, Schema]] = {
    "user_input": {"type": "string", "minLength": 1, "description": "What is to be done."},
    "request_id": {
        "type": "string",
        "maxLength": 128,
        "description": "Your own id of this request: sent again within 24 hours it names the same task.",
    },
    "model": {"type": "string", "maxLength": 128, "description": "The model that agents shall use."},
    "conversation_id": {"type": "string", "maxLength": 128, "description": "The conversation it belongs to."},
    "labels": {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 1024},
        "maxProperties": 64,
        "description": "Your own marks, kept with the task.",
    },
}
_TASK_ID: Final[Schema] = {
    "name": "task_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    "example": "01jexample",
}
_AFTER: Final[Schema] = {
    "name": "after_sequence",
    "in": "query",
    "description": (
        "Goes on behind this event; 0 or nothing starts with the first. The newest of this and the next counts; other "
        "parameters are let pass."
    ),
    "schema": {"type": "integer", "minimum": 0},
    "example": 17,
}
_LAST_EVENT_ID: Final[Schema] = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The same, as reconnecting browsers send it.",
    "schema": {"type": "integer", "minimum": 0},
}
_LAST_EVENT_ID_PARAMETER: Final[Schema] = {
    "name": "lastEventId",
    "in": "query",
    "description": "The same, as what stands in for `EventSource` elsewhere sends it.",
    "schema": {"type": "integer", "minimum": 0},
}
_EVENT_EXAMPLE: Final = {
    "task_id": "01jexample",
    "sequence": "17",
    "event_time": "2026-01-01T12:00:00Z",
    "step_started": {"step_id": "find", "agent": "retriever", "attempt": 1},
}
_ERROR_EXAMPLE: Final = {
    "error": {"code": "NOT_FOUND", "message": "no task has the id '01jexample'", "reason": "TASK_NOT_FOUND"}
}


def document(*, max_body_bytes: int) -> dict[str, Any]:
    """The whole description."""
    schemas = Schemas()
    event = schemas.of(event_pb2.TaskEvent.DESCRIPTOR)
    metrics = schemas.of(task_pb2.TaskMetrics.DESCRIPTOR)
    paths = {
        "/run-task": {"post": _run_task(max_body_bytes)},
        "/stream/{task_id}": {"get": _stream()},
        "/metrics/{task_id}": {"get": _metrics(metrics)},
        "/ws/{task_id}": {"get": _socket()},
    }
    for name, command in COMMANDS.items():
        schemas.components[f"{name}_message"] = _command(schemas, name, command)
    schemas.components |= {
        "RunTask": _object(_FIELDS, required=["user_input"]),
        "TaskCreated": _object(
            {"task_id": {"type": "string"}, "steps_created": {"type": "integer", "minimum": 0}},
            required=["task_id", "steps_created"],
        ),
        "ErrorAnswer": _error(),
        "SocketEvent": _object(
            {"event": {"enum": _names()}, "sequence": {"type": "integer", "minimum": 1}, "data": event},
            required=["event", "sequence", "data"],
        ),
        "SocketReply": _object(
            {
                "reply": _object(
                    {
                        "request": {"enum": list(COMMANDS)},
                        "request_id": {"type": "string"},
                        "state": {"enum": list(task_pb2.TaskState.keys())},
                    },
                    required=["request", "state"],
                )
            },
            required=["reply"],
        ),
    }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Troupe",
            "version": version("troupe"),
            "description": "Runs tasks of agents and streams what happens. The same events as over gRPC, as JSON.",
        },
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.components.items()))},
    }


def encode(description: dict[str, Any]) -> bytes:
    """The description as the body of a response."""
    return json.dumps(description, ensure_ascii=False, indent=1).encode() + b"\n"


def _run_task(max_body_bytes: int) -> Schema:
    assert set(_FIELDS) == set(RUN_TASK_FIELDS)
    example = {"user_input": "Compare the two papers on leases", "request_id": "mine-1"}
    return {
        "operationId": "runTask",
        "summary": "Submit a task",
        "description": "Plans and stores a task. When this answers, the task can no longer be lost.",
        "requestBody": {
            "required": True,
            "description": f"At most {max_body_bytes} bytes. Fields that are not known are refused.",
            "content": _json(_ref("RunTask"), example),
        },
        "responses": {
            "200": {
                "description": "The task is stored.",
                "content": _json(_ref("TaskCreated"), {"task_id": "01jexample", "steps_created": 3}),
            },
            **_errors(),
        },
    }


def _stream() -> Schema:
    line = json.dumps(_EVENT_EXAMPLE, separators=(",", ":"))
    return {
        "operationId": "streamTask",
        "summary": "Follow a task as Server-Sent Events",
        "description": (
            f"`event` is one of {', '.join(f'`{name}`' for name in _names())}; `id` is its sequence; `data` is a "
            "`TaskEvent` in one line of JSON. Comments keep the stream open. It ends behind the terminal event; a "
            "stream that would go on behind that is answered with 204, at which browsers connect no more. What goes "
            "wrong in mid-stream is told by the event `error` with an `ErrorAnswer`; so is a backend that is down when "
            "a browser connects again, since it would give up at a 503."
        ),
        "parameters": [_TASK_ID, _AFTER, _LAST_EVENT_ID_PARAMETER, _LAST_EVENT_ID],
        "responses": {
            "200": {
                "description": "The events.",
                "content": {
                    "text/event-stream": {
                        "schema": {"type": "string"},
                        "example": f"event: step_started\nid: 17\ndata: {line}\n\n",
                    }
                },
            },
            "204": {"description": "The task has ended and you have its last event."},
            **_errors(),
        },
    }


def _metrics(metrics: Schema) -> Schema:
    example = {"task_id": "01jexample", "total_time": "4.200s", "events": "23"}
    return {
        "operationId": "getTaskMetrics",
        "summary": "What a task took so far",
        "parameters": [_TASK_ID],
        "responses": {
            "200": {"description": "Times, tokens and prices, by step.", "content": _json(metrics, example)},
            **_errors(),
        },
    }


def _socket() -> Schema:
    event = {"event": "step_started", "sequence": 17, "data": _EVENT_EXAMPLE}
    requests = " or ".join(f"`{name}_message`" for name in COMMANDS)
    return {
        "operationId": "openTaskSocket",
        "summary": "Follow and steer a task over a WebSocket",
        "description": (
            f"Each text message is a `SocketEvent`; checkpoints are left out. You may send {requests}, and each is "
            "answered by a `SocketReply` or an `ErrorAnswer` that repeats `request` and `request_id`. "
            "Closes with 1000 behind the terminal event, 1001 when you should connect again (`after_sequence`), 1008 "
            "when the request can never succeed or messages come too fast, 1009 when one is too long, 1011 when the "
            'backend fails. The message `{"cancel": {"reason": "enough"}}` cancels the task.'
        ),
        "parameters": [_TASK_ID, _AFTER, _LAST_EVENT_ID_PARAMETER],
        "responses": {
            "101": {"description": "The socket is open.", "content": _json(_ref("SocketEvent"), event)},
            "403": {"description": "Pages of this origin may not call."},
            "426": {"description": "The request opens no WebSocket.", "content": _json(_ref("ErrorAnswer"))},
            "400": {"description": "The request is not what it should be.", "content": _json(_ref("ErrorAnswer"))},
        },
    }


def _command(schemas: Schemas, name: str, command: Command) -> Schema:
    schemas.of(command.request.DESCRIPTOR)
    whole = schemas.components.pop(command.request.DESCRIPTOR.name)["properties"]
    required = [each for each in command.fields if each in {"step_id", "decision"}]
    return _object({name: _object({each: whole[each] for each in command.fields}, required=required)}, required=[name])


def _error() -> Schema:
    text: Schema = {"type": "string"}
    violation = _object({"field": text, "description": text}, required=["field", "description"])
    fields: Schema = {
        "code": {"type": "string", "description": "The name of the gRPC status code."},
        "message": {"type": "string", "description": "What is wrong and what to do, for people."},
        "reason": {"type": "string", "description": "A name of `ErrorReason`, for programs."},
        "metadata": {"type": "object", "additionalProperties": text},
        "violations": {"type": "array", "items": violation},
        "request": {"enum": list(COMMANDS), "description": "What it answers, on a WebSocket."},
        "request_id": text,
    }
    return _object({"error": _object(fields, required=["code", "message"])}, required=["error"])


def _errors() -> Schema:
    content = _json(_ref("ErrorAnswer"), _ERROR_EXAMPLE)
    errors: Schema = {
        str(status): {"description": PHRASES[status].decode(), "content": content} for status in HTTP_STATUSES
    }
    return errors | {"403": {"description": "Forbidden; where pages of your origin may not call, in plain text."}}


def _names() -> list[str]:
    return [name for name in EVENT_NAMES if name != CHECKPOINT]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, *, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _json(schema: Schema, example: object = None) -> Schema:
    content: Schema = {"schema": schema}
    return {"application/json": content if example is None else {**content, "example": example}}
