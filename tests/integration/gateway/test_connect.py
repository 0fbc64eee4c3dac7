"""The Connect protocol through the gateway to a real gRPC server."""

import asyncio
import base64
import gzip
import json
import struct
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from tests.support.echo import FAILURE, Echo, serving_echo
from tests.support.gateway import SERVICE, WebConnection, WebResponse, fetch, framed, serving_gateway
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2

JSON = "application/json"
PROTO = "application/proto"
JSON_STREAM = "application/connect+json"
PROTO_STREAM = "application/connect+proto"


async def post(
    address: str, method: str, body: bytes, media: str, headers: Mapping[str, str] | None = None
) -> WebResponse:
    path = method if method.startswith("/") else SERVICE + method
    async with WebConnection.open(address) as connection:
        connection.send("POST", path, {"content-type": media, **(headers or {})}, body)
        return await connection.response()


async def post_json(address: str, method: str, value: Any, headers: Mapping[str, str] | None = None) -> WebResponse:
    return await post(address, method, json.dumps(value).encode(), JSON, headers)


async def get(address: str, **query: str) -> WebResponse:
    return await fetch(address, "GET", f"{SERVICE}GetTask?{urlencode(query)}")


def envelope(data: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(data)) + data


def messages(response: WebResponse) -> tuple[list[bytes], dict[str, Any]]:
    """The messages of a stream and its end."""
    parts: list[tuple[int, bytes]] = []
    data = response.body
    while data:
        flags, length = struct.unpack_from(">BI", data)
        parts.append((flags, data[5 : 5 + length]))
        data = data[5 + length :]
    *rest, (flags, end) = parts
    assert flags == 2
    return [gzip.decompress(part) if flag else part for flag, part in rest], json.loads(end)


def large(size: int) -> Message:
    return pb.GetTaskRequest(task_id="x" * size)


@pytest.fixture
def changed_descriptors(tmp_path: Path) -> Path:
    """Descriptors of the orchestrator in which `GetTask` has no side effects, and `WatchTask` is no stream."""
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(name: str) -> None:
        if name not in seen:
            seen.add(name)
            file = descriptor_pool.Default().FindFileByName(name)
            for dependency in file.dependencies:
                add(dependency.name)
            file.CopyToProto(files.file.add())

    add(pb.DESCRIPTOR.name)
    methods = {method.name: method for method in files.file[-1].service[0].method}
    methods["GetTask"].options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    methods["WatchTask"].server_streaming = False
    path = tmp_path / "orchestrator.binpb"
    path.write_bytes(files.SerializeToString())
    return path


@pytest.fixture
async def changed_gateway(backend: str, changed_descriptors: Path) -> AsyncIterator[str]:
    async with serving_gateway(backend, descriptors=(changed_descriptors,)) as address:
        yield address


async def test_unary_proto(gateway: str) -> None:
    response = await post(gateway, "GetTask", pb.GetTaskRequest(task_id="a").SerializeToString(), PROTO)
    assert (response.status, response.headers["content-type"]) == (200, PROTO)
    assert pb.GetTaskResponse.FromString(response.body).task.task_id == "a"
    assert response.headers["trailer-x-farewell"] == "bye"
    assert base64.b64decode(response.headers["trailer-x-tail-bin"] + "==") == b"\xfe\x01"
    assert not [name for name in response.headers if name.startswith("grpc-")]


@pytest.mark.parametrize("media", [JSON, "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
async def test_unary_json(gateway: str, media: str) -> None:
    response = await post(gateway, "GetTask", '{"taskId": "ü"}'.encode(), media)
    assert (response.status, response.headers["content-type"]) == (200, JSON)
    assert json.loads(response.body) == {"task": {"taskId": "ü"}}


async def test_empty_message(gateway: str) -> None:
    assert (await post(gateway, "GetTask", b"", PROTO)).status == 200
    assert (await post(gateway, "GetTask", b"", PROTO, {"content-encoding": "gzip"})).status == 200


@pytest.mark.parametrize("media", [JSON, PROTO])
async def test_error(gateway: str, media: str) -> None:
    request = b'{"taskId": "missing"}' if media == JSON else pb.GetTaskRequest(task_id="missing").SerializeToString()
    response = await post(gateway, "GetTask", request, media)
    assert (response.status, response.headers["content-type"]) == (404, JSON)
    error = json.loads(response.body)
    assert (error["code"], error["message"]) == ("not_found", FAILURE)
    (detail,) = error["details"]
    assert detail["type"] == "google.rpc.ErrorInfo"
    assert error_details_pb2.ErrorInfo.FromString(base64.b64decode(detail["value"] + "==")).domain == "troupe"
    assert detail["debug"] == {"reason": "TASK_NOT_FOUND", "domain": "troupe"}


async def test_metadata_passes(gateway: str, echo: Echo) -> None:
    headers = {"x-mark": "m", "x-data-bin": "AAH/", "connect-protocol-version": "1", "connect-timeout-ms": "5000"}
    await post_json(gateway, "GetTask", {"taskId": "a"}, {**headers, "content-encoding": "identity"})
    assert echo.metadata["x-mark"] == "m"
    assert echo.metadata["x-data-bin"] == b"\x00\x01\xff"
    assert not {"connect-protocol-version", "connect-timeout-ms", "content-encoding"} & set(echo.metadata)
    assert echo.time_remaining is not None
    assert 3 < echo.time_remaining <= 5


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "an object in braces"),
        (b"[]", "an object in braces"),
        (b"{", "line 1 column 2"),
        (b'{"task": {"input": 5}}', "`task.input` is 5; send a string"),
        (b'{"task": 5}', "`task` is 5; send an object in braces"),
        (b'{"task": {"input": "\xff"}}', "not UTF-8"),
        (b'{"task": ' * 9_000, "nested too deeply"),
    ],
)
async def test_json_that_is_no_message(gateway: str, body: bytes, says: str) -> None:
    response = await post(gateway, "SubmitTask", body, JSON)
    error = json.loads(response.body)
    assert (response.status, error["code"]) == (400, "invalid_argument")
    assert says in error["message"]


@pytest.mark.parametrize(
    ("method", "value", "field", "says"),
    [
        ("ListTasks", {"states": ["FAILED"], "pageSize": 1000}, "states[0]", "TASK_STATE_FAILED"),
        ("CancelTask", {"taskId": "t", "mode": "AFTER_STEP"}, "mode", "CANCEL_MODE_AFTER_STEP"),
        ("SubmitTask", {"task": {"input": "x", "memoryfilter": {"folder": "/x"}}}, "task.memoryfilter", "memoryFilter"),
        ("GetTask", {"taskId": "ü", "later": {"field": 1}}, "later", "taskId"),
        ("/troupe.api.memory.v1.MemoryService/Search", {"query": "q", "filters": {}}, "filters", "filter"),
    ],
)
async def test_what_is_misspelt_is_refused(gateway: str, method: str, value: Any, field: str, says: str) -> None:
    response = await post_json(gateway, method, value)
    error = json.loads(response.body)
    assert (response.status, error["code"]) == (400, "invalid_argument")
    details = {detail["type"]: detail["debug"] for detail in error["details"]}
    assert details["google.rpc.ErrorInfo"]["reason"] == "INVALID_REQUEST"
    (violation,) = details["google.rpc.BadRequest"]["fieldViolations"]
    assert violation["field"] == field
    assert f"`{says}`" in violation["description"]
    assert f"`{field}` {violation['description']}" == error["message"]


async def test_what_is_misspelt_is_refused_in_streams(gateway: str) -> None:
    body = envelope(b'{"task": {"input": "1"}, "onDisconnect": "CANCEL"}')
    _, end = messages(await post(gateway, "RunTask", body, JSON_STREAM))
    assert (end["error"]["code"], "`ON_DISCONNECT_CANCEL`" in end["error"]["message"]) == ("invalid_argument", True)


async def test_what_is_misspelt_is_refused_in_queries(changed_gateway: str) -> None:
    response = await get(changed_gateway, encoding="json", message='{"taskID": "a"}')
    error = json.loads(response.body)
    assert (response.status, error["code"]) == (400, "invalid_argument")
    assert "did you mean `taskId`?" in error["message"]


async def test_others_services_keep_to_the_rule_of_connect(gateway: str) -> None:
    response = await post(gateway, "/grpc.health.v1.Health/Check", b'{"later": 1}', JSON)
    assert response.status == 200


async def test_json_of_too_many_values(gateway: str) -> None:
    response = await post(gateway, "SubmitTask", b'{"task": {"plan": {"steps": [' + b"{}," * 50_000 + b"{}]}}}", JSON)
    error = json.loads(response.body)
    assert (response.status, error["code"]) == (429, "resource_exhausted")
    assert "send it as protobuf" in error["message"]


@pytest.mark.parametrize(
    ("headers", "status", "code", "says"),
    [
        ({"connect-protocol-version": "2"}, 400, "invalid_argument", "connect-protocol-version"),
        ({"connect-timeout-ms": "soon"}, 400, "invalid_argument", "1 to 10 digits"),
        ({"connect-timeout-ms": "12345678901"}, 400, "invalid_argument", "1 to 10 digits"),
        ({"content-encoding": "br"}, 501, "unimplemented", "gzip and identity"),
        ({"content-encoding": "gzip"}, 400, "invalid_argument", "no gzip"),
    ],
)
async def test_requests_that_cannot_be_passed_on(
    gateway: str, headers: dict[str, str], status: int, code: str, says: str
) -> None:
    response = await post_json(gateway, "GetTask", {"taskId": "a"}, headers)
    error = json.loads(response.body)
    assert (response.status, error["code"]) == (status, code)
    assert says in error["message"]


@pytest.mark.parametrize(
    ("path", "media", "says"),
    [
        ("/unknown.Service/Method", JSON, "knows no method"),
        ("/unknown.Service/Method", PROTO, "knows no method"),
        (SERVICE + "Nothing", JSON, "TROUPE_GATEWAY__DESCRIPTORS"),
    ],
)
async def test_unknown_methods_are_not_found(gateway: str, path: str, media: str, says: str) -> None:
    response = await post(gateway, path, b"{}", media)
    error = json.loads(response.body)
    assert (response.status, error["code"]) == (404, "unimplemented")
    assert says in error["message"]


async def test_method_that_the_backend_lacks(gateway: str) -> None:
    response = await post_json(gateway, "ListAgents", {})
    assert (response.status, json.loads(response.body)["code"]) == (501, "unimplemented")


async def test_media_types_of_methods_are_told(gateway: str) -> None:
    response = await post(gateway, "GetTask", b"", "application/xml")
    assert response.status == 415
    assert {JSON, PROTO, JSON_STREAM, "application/grpc-web+proto"} <= set(response.headers["accept-post"].split(", "))
    assert (await fetch(gateway, "GET", SERVICE + "GetTask")).headers["allow"] == "POST, OPTIONS"


async def test_deadline(gateway: str, echo: Echo) -> None:
    response = await post_json(gateway, "GetTask", {"taskId": "slow"}, {"connect-timeout-ms": "100"})
    assert (response.status, json.loads(response.body)["code"]) == (504, "deadline_exceeded")
    await asyncio.wait_for(echo.cancelled.wait(), 1)


async def test_client_that_goes_cancels_the_call(gateway: str, echo: Echo) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.send("POST", SERVICE + "GetTask", {"content-type": JSON}, b'{"taskId": "slow"}')
        await asyncio.wait_for(echo.started.wait(), 2)
    await asyncio.wait_for(echo.cancelled.wait(), 0.1)


@pytest.mark.parametrize("media", [JSON, PROTO])
async def test_gzip_both_ways(gateway: str, media: str) -> None:
    request = json.dumps({"taskId": "x" * 3000}).encode() if media == JSON else large(3000).SerializeToString()
    headers = {"content-encoding": "gzip", "accept-encoding": "br, gzip;q=0.5"}
    response = await post(gateway, "GetTask", gzip.compress(request), media, headers)
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.body) < 500
    body = gzip.decompress(response.body)
    task = json.loads(body)["task"]["taskId"] if media == JSON else pb.GetTaskResponse.FromString(body).task.task_id
    assert task == "x" * 3000


@pytest.mark.parametrize(
    "accepts",
    [{}, {"accept-encoding": "gzip"}, {"accept-encoding": "gzip;q=0"}, {"accept-encoding": "identity"}],
)
async def test_small_or_unwanted_gzip_is_not_made(gateway: str, accepts: dict[str, str]) -> None:
    size = 10 if accepts == {"accept-encoding": "gzip"} else 3000
    response = await post(gateway, "GetTask", large(size).SerializeToString(), PROTO, accepts)
    assert "content-encoding" not in response.headers
    assert pb.GetTaskResponse.FromString(response.body).task.task_id == "x" * size


async def test_gzip_of_the_backend_passes_as_it_is(echo: Echo) -> None:
    body = large(100).SerializeToString()
    async with (
        serving_echo(echo, compression=grpc.Compression.Gzip) as backend,
        serving_gateway(backend) as address,
    ):
        response = await post(address, "GetTask", body, PROTO, {"accept-encoding": "gzip"})
        plain = await post(address, "GetTask", body, PROTO)
        stream = await post(
            address, "WatchTask", framed(pb.WatchTaskRequest()), PROTO_STREAM, {"connect-accept-encoding": "gzip"}
        )
    assert response.headers["content-encoding"] == "gzip"  # the gateway itself would not compress so little
    assert pb.GetTaskResponse.FromString(gzip.decompress(response.body)).task.task_id == "x" * 100
    assert pb.GetTaskResponse.FromString(plain.body).task.task_id == "x" * 100
    assert stream.headers["connect-content-encoding"] == "gzip"
    assert len(messages(stream)[0]) == 10


async def test_bombs_are_not_unpacked(backend: str) -> None:
    bomb = gzip.compress(b" " * 100_000)
    compressed = {"content-encoding": "gzip", "connect-content-encoding": "gzip"}
    async with serving_gateway(backend, max_message_bytes=10_000) as address:
        unary = await post(address, "GetTask", bomb, JSON, compressed)
        stream = await post(address, "WatchTask", envelope(bomb, 1), JSON_STREAM, compressed)
        plain = await post(address, "GetTask", b" " * 10_001, JSON)
    assert (unary.status, json.loads(unary.body)["code"]) == (429, "resource_exhausted")
    assert messages(stream)[1]["error"]["code"] == "resource_exhausted"
    assert (plain.status, json.loads(plain.body)["code"]) == (429, "resource_exhausted")


async def test_responses_are_bounded(backend: str) -> None:
    async with serving_gateway(backend, max_response_bytes=1000) as address:
        short = await post(address, "GetTask", large(900).SerializeToString(), PROTO)
        long = await post(address, "GetTask", large(1000).SerializeToString(), PROTO)
        stream = await post(
            address,
            "RunTask",
            envelope(b'{"task": {"input": "2", "labels": {"pad": "20000"}}}'),
            JSON_STREAM,
        )
    assert short.status == 200
    assert (long.status, json.loads(long.body)["code"]) == (429, "resource_exhausted")
    assert "max_response_bytes" in messages(stream)[1]["error"]["message"]


@pytest.mark.parametrize("media", [JSON_STREAM, PROTO_STREAM])
async def test_stream(gateway: str, media: str) -> None:
    body = (
        envelope(b'{"task": {"input": "30", "labels": {"pad": "200"}}}')
        if media == JSON_STREAM
        else framed(pb.RunTaskRequest(task=task_pb2.TaskSpec(input="30", labels={"pad": "200"})))
    )
    response = await post(gateway, "RunTask", body, media)
    assert (response.status, response.headers["content-type"]) == (200, media)
    assert response.headers["x-greeting"] == "hello"
    parts, end = messages(response)
    sequences = [
        int(json.loads(part)["events"][0]["sequence"])
        if media == JSON_STREAM
        else pb.RunTaskResponse.FromString(part).events[0].sequence
        for part in parts
    ]
    assert sequences == list(range(1, 31))
    assert end["metadata"]["x-farewell"] == ["bye"]
    assert "error" not in end


@pytest.mark.parametrize("media", [JSON_STREAM, PROTO_STREAM])
async def test_compressed_request_of_a_stream(gateway: str, media: str) -> None:
    message = b'{"taskId": "t"}' if media == JSON_STREAM else pb.WatchTaskRequest(task_id="t").SerializeToString()
    body = envelope(gzip.compress(message), 1)
    response = await post(gateway, "WatchTask", body, media, {"connect-content-encoding": "gzip"})
    assert len(messages(response)[0]) == 10
    refused = await post(gateway, "WatchTask", body, media)
    assert messages(refused)[1]["error"]["code"] == "internal"


async def test_events_come_as_they_happen(gateway: str, echo: Echo) -> None:
    async with WebConnection.open(gateway) as connection:
        body = envelope(b'{"task": {"input": "2", "labels": {"hold": "1"}}}')
        connection.send("POST", SERVICE + "RunTask", {"content-type": JSON_STREAM}, body)
        await connection.head()
        first = json.loads((await connection.chunk())[5:])
        assert first["events"][0]["sequence"] == "1"
        echo.release.set()
        rest = b""
        while data := await connection.chunk():
            rest += data
        assert b'{"metadata":' in rest


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, "unimplemented"),
        (envelope(b"{}") * 2, {}, "unimplemented"),
        (envelope(b"{}", 2), {}, "invalid_argument"),
        (envelope(b"[]"), {}, "invalid_argument"),
        (envelope(b"{}")[:-1], {}, "invalid_argument"),
        (envelope(b"{}"), {"connect-content-encoding": "br"}, "unimplemented"),
        (envelope(b"{}"), {"connect-timeout-ms": "-1"}, "invalid_argument"),
        (
            envelope(b'{"task": {"input": "3", "labels": {"hold": "1"}}}'),
            {"connect-timeout-ms": "50"},
            "deadline_exceeded",
        ),
    ],
)
async def test_streams_end_with_their_error(gateway: str, body: bytes, headers: dict[str, str], code: str) -> None:
    response = await post(gateway, "RunTask", body, JSON_STREAM, headers)
    assert (response.status, response.headers["content-type"]) == (200, JSON_STREAM)
    assert messages(response)[1]["error"]["code"] == code


async def test_get(changed_gateway: str) -> None:
    plain = await get(changed_gateway, connect="v1", encoding="json", message='{"taskId": "a+b"}')
    assert json.loads(plain.body) == {"task": {"taskId": "a+b"}}
    assert plain.headers["vary"] == "accept-encoding, origin"
    message = gzip.compress(pb.GetTaskRequest(task_id="ü").SerializeToString())
    text = base64.urlsafe_b64encode(message).decode().rstrip("=")
    packed = await get(changed_gateway, encoding="proto", message=text, base64="1", compression="gzip")
    assert pb.GetTaskResponse.FromString(packed.body).task.task_id == "ü"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"encoding": "json"}, 400),
        ({"encoding": "xml", "message": ""}, 400),
        ({"encoding": "proto", "message": "!", "base64": "1"}, 400),
        ({"encoding": "proto", "message": "", "connect": "v2"}, 400),
        ({"encoding": "proto", "message": "", "compression": "br"}, 501),
        ({"encoding": "proto", "message": ""}, 200),
    ],
)
async def test_get_that_is_no_call(changed_gateway: str, query: dict[str, str], status: int) -> None:
    assert (await get(changed_gateway, **query)).status == status


@pytest.mark.parametrize(("after", "says"), [("10", "0 messages"), ("0", "2 messages")])
async def test_unary_call_of_a_backend_that_streams(changed_gateway: str, after: str, says: str) -> None:
    response = await post_json(changed_gateway, "WatchTask", {"taskId": "t", "afterSequence": after})
    error = json.loads(response.body)
    assert (response.status, error["code"]) == (501, "unimplemented")
    assert says in error["message"]


async def test_pages_may_read_every_header(gateway: str) -> None:
    origin = {"origin": "http://localhost:5173", "accept-encoding": "gzip"}
    response = await post_json(gateway, "GetTask", {"taskId": "x" * 3000}, origin)
    exposed = set(response.headers["access-control-expose-headers"].split(", "))
    assert {"content-encoding", "trailer-x-farewell", "trailer-x-tail-bin", "x-request-id"} <= exposed
    asked = {**origin, "access-control-request-method": "GET"}
    preflight = await fetch(gateway, "OPTIONS", SERVICE + "GetTask", asked)
    assert "GET" in preflight.headers["access-control-allow-methods"]
