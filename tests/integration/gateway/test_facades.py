"""Plain HTTP and Server-Sent Events before a gRPC server of the task API."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.event_stream import EventStreamText
from tests.support.gateway import WebConnection, WebResponse, fetch, serving_gateway
from tests.support.task_server import TASK_ID, Cut, TaskServer, history, long_history, task_server
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.server import Drain
from troupe.local.launch import free_port

STREAM = f"/stream/{TASK_ID}"
LAST = len(history())


@pytest.fixture
async def tasks() -> AsyncIterator[tuple[TaskServer, str]]:
    async with task_server() as (server, backend), serving_gateway(backend) as address:
        yield server, address


async def post(address: str, body: bytes, path: str = "/run-task", **headers: str) -> WebResponse:
    async with WebConnection.open(address) as connection:
        connection.send("POST", path, headers, body)
        return await connection.response()


async def follow(address: str, path: str = STREAM, **headers: str) -> EventStreamText:
    response = await fetch(address, "GET", path, {name.replace("_", "-"): value for name, value in headers.items()})
    assert response.status == 200
    return EventStreamText.parse(response.body)


def error(response: WebResponse) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = json.loads(response.body)["error"]
    return found


async def test_run_a_task(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    body = {"user_input": "why?", "request_id": "r", "model": "m", "conversation_id": "c", "labels": {"a": "ü"}}
    response = await post(address, json.dumps(body).encode())
    assert (response.status, json.loads(response.body)) == (200, {"task_id": TASK_ID, "steps_created": 2})
    assert "x-request-id" in response.headers
    (request,) = server.submit_requests
    assert (request.task.input, request.request_id) == ("why?", "r")
    assert (request.task.model, request.task.conversation_id, request.task.labels["a"]) == ("m", "c", "ü")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is empty"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no UTF-8"),
        (b"[]", "send an object"),
        (b"1" * 5000, "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "`user_input` is missing or blank"),
        (b'{"user_input": " "}', "`user_input` is missing or blank"),
        (b'{"user_input": 7}', "`user_input` is 7; send a string"),
        (b'{"user_input": "\\ud800"}', "surrogate"),
        (b'{"user_input": "a", "user_input": "b"}', "stands twice"),
        (b'{"input": "a"}', "the field 'input' is not known here; did you mean `user_input`?"),
        (b'{"user_input": "a", "memoryFilter": {}}', "the field 'memoryFilter' is not known here; known: `user_input`"),
        (b'{"user_input": "a", "label": {}}', "did you mean `labels`?"),
        (b'{"user_input": "a", "userInput": "b"}', "the field 'user_input' stands twice"),
        (b'{"user_input": "a", "labels": {"b": 1}}', "`labels.b` is 1"),
    ],
)
async def test_bad_bodies(tasks: tuple[TaskServer, str], body: bytes, says: str) -> None:
    server, address = tasks
    response = await post(address, body)
    problem = error(response)
    assert (response.status, problem["code"], problem["reason"]) == (400, "INVALID_ARGUMENT", "INVALID_REQUEST")
    assert says in problem["message"]
    assert not server.submit_requests


async def test_requests_that_cannot_be_taken(tasks: tuple[TaskServer, str]) -> None:
    _, address = tasks
    compressed = await post(address, b"{}", **{"content-encoding": "gzip"})
    assert "send it as it is" in error(compressed)["message"]
    with_query = await post(address, b"{}", "/run-task?x=1")
    assert "the parameter 'x' is not known" in error(with_query)["message"]
    foreign = await post(address, b"{}", origin="https://elsewhere.example")
    assert foreign.status == 403
    late = await post(address, b'{"user_input": "a"}', **{"grpc-timeout": "0n"})
    assert (late.status, error(late)["code"]) == (504, "DEADLINE_EXCEEDED")


async def test_too_large() -> None:
    async with task_server() as (_, backend), serving_gateway(backend, max_message_bytes=100) as address:
        response = await post(address, b'{"user_input": "%b"}' % (b"a" * 100))
    assert (response.status, error(response)["reason"]) == (413, "MESSAGE_TOO_LARGE")


async def test_responses_are_bounded() -> None:
    async with task_server() as (_, backend), serving_gateway(backend, max_response_bytes=20) as address:
        short = await fetch(address, "GET", f"/metrics/{TASK_ID}")
        long = await post(address, b'{"user_input": "why?"}')
        stream = await fetch(address, "GET", STREAM)
    assert short.status == 200
    for response in (long, stream):
        assert (response.status, error(response)["code"]) == (429, "RESOURCE_EXHAUSTED")
        assert "`max_response_bytes`" in error(response)["message"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/run-task", "POST, OPTIONS"),
        ("HEAD", STREAM, "GET, OPTIONS"),
        ("POST", f"/metrics/{TASK_ID}", "GET, OPTIONS"),
        ("OPTIONS", "/run-task", "POST, OPTIONS"),
        ("DELETE", "/docs", "GET, HEAD, OPTIONS"),
        ("PUT", f"/ws/{TASK_ID}", "GET, OPTIONS"),
    ],
)
async def test_wrong_methods(tasks: tuple[TaskServer, str], method: str, path: str, allow: str) -> None:
    async with WebConnection.open(tasks[1]) as connection:
        connection.send(method, path, {})
        response = await connection.head()
    assert (response.status, response.headers["allow"]) == (405, allow)


async def test_description(tasks: tuple[TaskServer, str]) -> None:
    _, address = tasks
    described = await fetch(address, "GET", "/openapi.json")
    assert described.headers["content-type"] == "application/json"
    assert "/run-task" in json.loads(described.body)["paths"]
    page = await fetch(address, "GET", "/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.body.startswith(b"<!doctype html>")


async def test_metrics(tasks: tuple[TaskServer, str]) -> None:
    _, address = tasks
    response = await fetch(address, "GET", f"/metrics/{TASK_ID}")
    assert (response.status, json.loads(response.body)) == (200, {"task_id": TASK_ID, "events": str(LAST)})
    missing = await fetch(address, "GET", "/metrics/n%C3%B6")
    assert (missing.status, error(missing)["reason"]) == (404, "TASK_NOT_FOUND")
    assert "'nö'" in error(missing)["message"]


async def test_closed_services_are_unimplemented() -> None:
    async with task_server() as (_, backend), serving_gateway(backend, services=("grpc.health.v1.Health",)) as address:
        for response in (await post(address, b'{"user_input": "a"}'), await fetch(address, "GET", STREAM)):
            assert (response.status, error(response)["code"]) == (501, "UNIMPLEMENTED")


async def test_stream(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    server.batch = 4
    response = await fetch(address, "GET", STREAM, {"origin": "http://localhost:5173"})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-store", "no")
    assert response.headers["access-control-allow-origin"] == "http://localhost:5173"
    stream = EventStreamText.parse(response.body)
    assert stream.ids == list(range(1, LAST + 1))
    assert [sent.event for sent in stream.events] == [event.WhichOneof("event") for event in server.events]
    assert stream.events[2].data["step_started"] == {"step_id": "find", "agent": "retriever", "attempt": 1}
    assert stream.events[-1].data["task_completed"]["output"]["text"] == server.events[-1].task_completed.output.text
    assert stream.retries == [2000, 500]


async def test_stream_goes_on_after_a_sequence(tasks: tuple[TaskServer, str]) -> None:
    _, address = tasks
    expected = list(range(8, LAST + 1))
    assert (await follow(address, f"{STREAM}?after_sequence=7")).ids == expected
    assert (await follow(address, f"{STREAM}?after_sequence=2", Last_Event_ID="7")).ids == expected
    assert (await follow(address, f"{STREAM}?after_sequence=7", Last_Event_ID="2")).ids == expected


@pytest.mark.parametrize(
    "query",
    [
        "lastEventId=7",
        "lastEventId=7&after_sequence=2",
        "after_sequence=2&lastEventId=7",
        "lastEventId=2&after_sequence=7",
        "lastEventId=3&lastEventId=7",
        "lasteventid=7",
        "last_event_id=7",
        "Last-Event-ID=7",
        "lastEventID=%37",
        "evs_last_event_id=7&evs_preamble",
        "afterSequence=7&lastEventId=",
        "_=1700000000&lastEventId=7&token=a.b-c",
        "cacheBuster=0.5&&after_sequence=7&x",
        "access_token=%ff%00&r=1&after_sequence=7&=&a=b=c",
        "&".join(f"p{n}={n}" for n in range(200)) + "&lastEventId=7",
    ],
)
async def test_what_stands_in_for_event_sources_goes_on_too(tasks: tuple[TaskServer, str], query: str) -> None:
    assert (await follow(tasks[1], f"{STREAM}?{query}")).ids == list(range(8, LAST + 1))


@pytest.mark.parametrize("query", ["_=1700000000", "token=abc", "after=7", "lastEventId", "x=1&x=2", "?", "%"])
async def test_streams_let_other_parameters_pass(tasks: tuple[TaskServer, str], query: str) -> None:
    assert (await follow(tasks[1], f"{STREAM}?{query}")).ids == list(range(1, LAST + 1))


async def test_what_stands_in_for_event_sources_stops_behind_the_end(tasks: tuple[TaskServer, str]) -> None:
    assert (await fetch(tasks[1], "GET", f"{STREAM}?lastEventId={LAST}&_=1")).status == 204


async def test_stream_behind_the_end_has_no_content(tasks: tuple[TaskServer, str]) -> None:
    response = await fetch(tasks[1], "GET", STREAM, {"last-event-id": str(LAST)})
    assert (response.status, response.body) == (204, b"")


@pytest.mark.parametrize("where", ["-1", "x", "1" * 30, "9223372036854775808", "\u0661"])
async def test_bad_sequences(tasks: tuple[TaskServer, str], where: str) -> None:
    response = await fetch(tasks[1], "GET", STREAM, {"last-event-id": where.encode().decode("latin-1")})
    assert response.status == 400
    assert "`Last-Event-ID`" in error(response)["message"]


async def test_unknown_task_and_parameter(tasks: tuple[TaskServer, str]) -> None:
    _, address = tasks
    missing = await fetch(address, "GET", "/stream/nowhere")
    assert (missing.status, error(missing)["reason"]) == (404, "TASK_NOT_FOUND")
    typo = await fetch(address, "GET", f"/metrics/{TASK_ID}?after=7")
    assert (typo.status, error(typo)["message"]) == (400, "the parameter 'after' is not known here; known: none")


async def test_quiet_streams_are_kept_open() -> None:
    async with (
        task_server() as (server, backend),
        serving_gateway(backend, idle_stream_seconds=0.05) as address,
        WebConnection.open(address) as connection,
    ):
        server.checkpoints = True
        server.pause_after = 3
        connection.send("GET", STREAM, {})
        await connection.head()
        body = b""
        while not body.endswith(b"\n\n:\n\n"):
            body += await connection.chunk()
        server.go_on.set()
        while data := await connection.chunk():
            body += data
    stream = EventStreamText.parse(body)
    assert "checkpoint 0" in stream.comments
    assert stream.ids == list(range(1, LAST + 1))


async def test_silent_backend_does_not_hold_back_the_head(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    server.silent = True
    async with WebConnection.open(address) as connection:
        connection.send("GET", STREAM, {"origin": "http://localhost:1"})
        head = await connection.head()
        assert (head.status, head.headers["access-control-allow-origin"]) == (200, "http://localhost:1")
        assert (await connection.chunk()).startswith(b"retry: 2000\n:")


async def test_closed_stream_cancels_the_call(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    server.pause_after = 1
    async with WebConnection.open(address) as connection:
        connection.send("GET", STREAM, {})
        await connection.head()
    await asyncio.wait_for(server.watch_ended.wait(), 2)


async def test_error_in_mid_stream(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    server.cuts.append(Cut(3, TroupeError(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "the store\nsleeps")))
    first = await follow(address)
    *told, failed = first.events
    assert failed.event == "error"
    assert failed.data["error"]["code"] == "UNAVAILABLE"
    assert failed.data["error"]["reason"] == "STORE_UNAVAILABLE"
    assert failed.data["error"]["message"] == "the store\nsleeps"
    second = await follow(address, Last_Event_ID=told[-1].id)
    assert [int(sent.id) for sent in told] + second.ids == list(range(1, LAST + 1))


async def test_killed_backend_loses_and_doubles_nothing() -> None:
    at = f"127.0.0.1:{free_port()}"
    async with AsyncExitStack() as first_backend:
        server, _ = await first_backend.enter_async_context(task_server(at))
        server.pause_after = 5
        async with serving_gateway(at) as address, WebConnection.open(address) as connection:
            connection.send("GET", STREAM, {})
            await connection.head()
            body = b""
            while b"id: 5\n" not in body:
                body += await connection.chunk()
            await first_backend.aclose()
            while data := await connection.chunk():
                body += data
            *told, failed = EventStreamText.parse(body).events
            assert failed.event == "error"
            assert (await fetch(address, "GET", STREAM)).status == 503
            polyfill = await fetch(address, "GET", f"{STREAM}?lastEventId={told[-1].id}")
            assert polyfill.status == 200
            down = await follow(address, Last_Event_ID=told[-1].id)  # a browser gives up at a 503
            assert ([sent.event for sent in down.events], down.retries) == (["error"], [2000])
            async with task_server(at):
                second = await follow(address, Last_Event_ID=told[-1].id)
    assert [int(sent.id) for sent in told] + second.ids == list(range(1, LAST + 1))


async def test_drain_tells_to_connect_again() -> None:
    drain = Drain()
    async with (
        task_server() as (server, backend),
        serving_gateway(backend, drain=drain) as address,
        WebConnection.open(address) as connection,
    ):
        server.pause_after = 2
        connection.send("GET", STREAM, {})
        await connection.head()
        body = b""
        while b"id: 2\n" not in body:
            body += await connection.chunk()
        drain.start()
        while data := await connection.chunk():
            body += data
    stream = EventStreamText.parse(body)
    assert (stream.ids, stream.retries) == ([1, 2], [2000, 500])


async def test_slow_reader_holds_its_own_stream_back_and_no_other(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    server.events = long_history(400, text_bytes=50_000)
    async with WebConnection.open(address) as slow:
        slow.send("GET", STREAM, {})
        await slow.head()
        body = [await slow.chunk()]
        assert len((await follow(address)).ids) == 400
        # What the buffers of sockets and of the stream hold: some MiB of the 20 that are asked for.
        assert min(server.told) * 50_000 < 15 << 20
        while data := await slow.chunk():
            body.append(data)
    assert EventStreamText.parse(b"".join(body)).ids == list(range(1, 401))
