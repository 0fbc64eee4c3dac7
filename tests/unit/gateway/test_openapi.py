"""The description of the facades describes what they do."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.json_schema import SchemaChecker
from tests.support.task_server import history
from troupe.api.orchestrator.v1 import event_pb2, task_pb2
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.gateway.facades import docs_page, openapi
from troupe.gateway.facades.commands import COMMANDS, Order
from troupe.gateway.facades.events import EVENT_NAMES, EventReader, NamedEvent
from troupe.gateway.facades.failure import Failure
from troupe.gateway.facades.messages import to_fields
from troupe.gateway.wire.dialect import ResponseError
from troupe.gateway.wire.framing import message_frame
from troupe.gateway.wire.status import Code

DOCUMENT = openapi.document(max_body_bytes=100)
CHECKER = SchemaChecker(DOCUMENT)
HTTP_METHODS = {"get", "post"}


def schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item)


def test_structure() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    operations = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, methods in DOCUMENT["paths"].items():
        assert methods.keys() <= HTTP_METHODS
        for operation in methods.values():
            in_path = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))
            for each in operation.get("parameters", ()):
                CHECKER.resolve(each["schema"])
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[1-5]\d\d", status)
                assert response["description"]


def test_references_and_keywords_are_known() -> None:
    for node in nodes(DOCUMENT):
        if "$ref" in node:
            assert CHECKER.resolve(node)
    for component in DOCUMENT["components"]["schemas"].values():
        for each in (component, *component.get("properties", {}).values()):
            CHECKER.resolve(each)


def test_examples_fit_their_schemas() -> None:
    media = [node for node in nodes(DOCUMENT["paths"]) if "schema" in node and "example" in node]
    assert len(media) >= 8
    for each in media:
        assert CHECKER.problems(each["schema"], each["example"]) == []


def test_events_fit_their_schemas() -> None:
    for event in history():
        fields = to_fields(event)
        assert CHECKER.problems(schema("TaskEvent"), fields) == []
        message = {"event": event.WhichOneof("event"), "sequence": event.sequence, "data": fields}
        assert CHECKER.problems(schema("SocketEvent"), message) == []


def test_numbers_that_json_has_not() -> None:
    event = event_pb2.TaskEvent(sequence=1, step_progress=event_pb2.StepProgress(fraction=float("nan")))
    assert CHECKER.problems(schema("TaskEvent"), to_fields(event)) == []
    metrics = task_pb2.TaskMetrics(events=2**60)
    metrics.total_time.FromMilliseconds(1500)
    assert to_fields(metrics) == {"events": str(2**60), "total_time": "1.500s"}
    assert CHECKER.problems(schema("TaskMetrics"), to_fields(metrics)) == []


@pytest.mark.parametrize("message", [Timestamp(seconds=2**60), AnyMessage(type_url="type.googleapis.com/x.Unknown")])
def test_what_json_has_not_is_told_in_its_terms(message: Message) -> None:
    with pytest.raises(ResponseError, match=rf"^this {message.DESCRIPTOR.full_name} cannot be written in JSON: "):
        to_fields(message)


def test_errors_fit_their_schema() -> None:
    failure = Failure(Code.INVALID_ARGUMENT, "m", "R", {"a": "b"}, ({"field": "f", "description": "d"},))
    assert CHECKER.problems(schema("ErrorAnswer"), {"error": failure.fields()}) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_schema_allows_is_obeyed(name: str) -> None:
    described = CHECKER.resolve(schema(f"{name}_message"))["properties"][name]["properties"]
    assert set(described) == set(COMMANDS[name].fields)
    values = {each: how["enum"][1] if "enum" in how else "x" for each, how in described.items()}
    assert CHECKER.problems(schema(f"{name}_message"), {name: values}) == []
    text = openapi.encode({name: values}).decode()
    assert to_fields(Order.read(text, "t").request) == {"task_id": "t", **values}


def test_events_that_are_not_known_keep_their_place() -> None:
    newer = pb.WatchTaskResponse(events=[event_pb2.TaskEvent(sequence=4)]).SerializeToString()
    reader, framed = EventReader(max_response_bytes=1000), message_frame(newer)
    seen = [event for position in range(len(framed)) for event in reader.feed(framed[position : position + 1])]
    assert seen == [NamedEvent("unknown", 4, '{"sequence":"4"}')]


def test_page_is_made_of_the_description_and_of_nothing_from_elsewhere() -> None:
    page = docs_page.page(DOCUMENT)
    text = page.body.decode()
    for path in DOCUMENT["paths"]:
        assert f"<code>{path}</code>" in text
    for name in (*EVENT_NAMES[:5], *DOCUMENT["components"]["schemas"]):
        assert f"<code>{name}</code>" in text
    assert not re.search(r"(src|href)=\"(?!data:|/openapi\.json)", text)
    assert "<script" not in text
    policy = dict(page.headers)[b"content-security-policy"].decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
