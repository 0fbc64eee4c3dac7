"""WebSockets before a gRPC server of the task API."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from wsproto.events import BytesMessage, CloseConnection, Ping

from tests.support.event_stream import EventStreamText
from tests.support.gateway import WebConnection, fetch, serving_gateway
from tests.support.processes import reached
from tests.support.task_server import TASK_ID, Cut, TaskServer, history, long_history, task_server
from tests.support.websocket import HANDSHAKE, WebSocketClient, refused
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.core.errors import TroupeError
from troupe.core.server import Drain
from troupe.local.launch import free_port

SOCKET = f"/ws/{TASK_ID}"
LAST = len(history())


@pytest.fixture
async def tasks() -> AsyncIterator[tuple[TaskServer, str]]:
    async with task_server() as (server, backend), serving_gateway(backend) as address:
        yield server, address


@pytest.fixture
async def waiting(tasks: tuple[TaskServer, str]) -> AsyncIterator[WebSocketClient]:
    """A socket whose task waits after its first event, which has come."""
    server, address = tasks
    server.pause_after = 1
    async with WebSocketClient.open(address, SOCKET) as client:
        assert (await client.receive())["sequence"] == 1
        yield client


def sequences(messages: list[Any]) -> list[int]:
    return [message["sequence"] for message in messages]


def code(client: WebSocketClient) -> int:
    assert client.close is not None
    return int(client.close.code)


async def test_events_are_those_of_the_event_stream(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    server.batch, server.checkpoints = 4, True
    async with WebSocketClient.open(address, SOCKET, origin="http://localhost:5173") as client:
        messages = await client.rest()
    assert code(client) == 1000
    stream = EventStreamText.parse((await fetch(address, "GET", f"/stream/{TASK_ID}")).body)
    assert sequences(messages) == list(range(1, LAST + 1))
    assert [(message["event"], message["data"]) for message in messages] == [(e.event, e.data) for e in stream.events]


@pytest.mark.parametrize("after", [7, LAST])
async def test_goes_on_after_a_sequence(tasks: tuple[TaskServer, str], after: int) -> None:
    async with WebSocketClient.open(tasks[1], f"{SOCKET}?after_sequence={after}") as client:
        assert sequences(await client.rest()) == list(range(after + 1, LAST + 1))
    assert code(client) == 1000


@pytest.mark.parametrize(
    "query", ["token=abc&after_sequence=7", "lastEventId=7&_=1", "last-event-id=7&after_sequence=3"]
)
async def test_other_parameters_are_let_pass(tasks: tuple[TaskServer, str], query: str) -> None:
    async with WebSocketClient.open(tasks[1], f"{SOCKET}?{query}") as client:
        assert sequences(await client.rest()) == list(range(8, LAST + 1))


async def test_killed_backend_loses_and_doubles_nothing() -> None:
    at = f"127.0.0.1:{free_port()}"
    async with AsyncExitStack() as first_backend:
        server, _ = await first_backend.enter_async_context(task_server(at))
        server.pause_after = 5
        async with serving_gateway(at) as address:
            async with WebSocketClient.open(address, SOCKET) as client:
                told = [await client.receive() for _ in range(5)]
                await first_backend.aclose()
                (failed,) = await client.rest()
                assert failed["error"]["code"]
                assert code(client) in {1001, 1011}
            async with task_server(at), WebSocketClient.open(address, f"{SOCKET}?after_sequence=5") as client:
                told += await client.rest()
    assert sequences(told) == list(range(1, LAST + 1))


@pytest.mark.parametrize(
    ("error", "expected"), [(TroupeError(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "asleep"), 1011), (None, 1011)]
)
async def test_backend_that_breaks_off(tasks: tuple[TaskServer, str], error: TroupeError | None, expected: int) -> None:
    server, address = tasks
    server.cuts.append(Cut(3, error))
    async with WebSocketClient.open(address, SOCKET) as client:
        *told, failed = await client.rest()
    assert sequences(told) == [1, 2, 3]
    assert failed["error"]["code"] == "UNAVAILABLE"
    assert code(client) == expected


async def test_unknown_task(tasks: tuple[TaskServer, str]) -> None:
    async with WebSocketClient.open(tasks[1], "/ws/nowhere") as client:
        (failed,) = await client.rest()
    assert failed["error"]["reason"] == "TASK_NOT_FOUND"
    assert code(client) == 1008


async def test_cancel(tasks: tuple[TaskServer, str], waiting: WebSocketClient) -> None:
    waiting.send({"cancel": {"reason": "enough", "mode": "CANCEL_MODE_AFTER_STEP", "request_id": "c"}})
    reply = {"request": "cancel", "request_id": "c", "state": "TASK_STATE_CANCELLED"}
    assert await waiting.receive() == {"reply": reply}
    (request,) = tasks[0].cancel_requests
    assert (request.task_id, request.reason, request.mode) == (TASK_ID, "enough", pb.CANCEL_MODE_AFTER_STEP)


async def test_cancel_outlives_the_socket(tasks: tuple[TaskServer, str], waiting: WebSocketClient) -> None:
    waiting.send({"cancel": {}})
    waiting.send_event(CloseConnection(1000))
    await asyncio.wait_for(tasks[0].cancelled.wait(), 2)


async def test_resolve_approval(tasks: tuple[TaskServer, str], waiting: WebSocketClient) -> None:
    decision = {"decision": "APPROVAL_DECISION_APPROVE", "comment": "yes", "decided_by": "me"}
    waiting.send({"resolve_approval": {"step_id": "write", **decision}})
    assert await waiting.receive() == {"reply": {"request": "resolve_approval", "state": "TASK_STATE_RUNNING"}}
    (request,) = tasks[0].resolve_requests
    assert (request.task_id, request.comment, request.decided_by) == (TASK_ID, "yes", "me")
    waiting.send({"resolve_approval": {"step_id": "none", **decision, "request_id": "7"}})
    error = (await waiting.receive())["error"]
    assert (error["request"], error["request_id"]) == ("resolve_approval", "7")
    assert (error["code"], error["reason"]) == ("NOT_FOUND", "STEP_NOT_FOUND")


async def test_bad_messages_are_answered(tasks: tuple[TaskServer, str], waiting: WebSocketClient) -> None:
    for message, says in [
        ("{", "no JSON"),
        ("[]", "send an object"),
        ({}, "holds 0 requests"),
        ({"cancel": {}, "resolve_approval": {}}, "holds 2 requests"),
        ({"stop": {}}, "known: `cancel`, `resolve_approval`"),
        ({"cancel": 1}, "`cancel` is 1; send an object"),
        ({"cancel": {"task_id": "other"}}, "'task_id' is not known here; known: `reason`"),
        ({"cancel": {"reason": 5}}, "`cancel.reason` is 5; send a string"),
        ({"cancel": {"mode": "AFTER_STEP"}}, "did you mean `CANCEL_MODE_AFTER_STEP`?"),
        ({"cancel": {"mode": True}}, "`cancel.mode` is true"),
        ({"cancel": {"mod": 1}}, "did you mean `mode`?"),
        ({"resolve_approval": {"decision": "YES"}}, '`resolve_approval.decision` is "YES"'),
        ({"resolve_approval": {"stepId": "a", "step_id": "a"}}, "stands twice"),
        ('{"cancel": {"reason": "\\ud800"}}', "surrogate"),
    ]:
        waiting.send(message)
        error = (await waiting.receive())["error"]
        assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert says in error["message"]
    waiting.send_event(BytesMessage(data=b"{}"))
    assert "binary" in (await waiting.receive())["error"]["message"]
    tasks[0].go_on.set()
    assert sequences(await waiting.rest()) == list(range(2, LAST + 1))


async def test_message_that_comes_with_the_handshake(tasks: tuple[TaskServer, str]) -> None:
    async with WebConnection.open(tasks[1]) as connection:
        connection.send("GET", SOCKET, HANDSHAKE)
        connection.writer.write(b"\x88\x80\0\0\0\0")  # a frame that closes, in the same segment
        assert (await connection.head()).status == 101
        assert await asyncio.wait_for(connection.reader.read(), 2) == b"\x88\x00"


async def test_handshake_that_expects_to_be_continued(tasks: tuple[TaskServer, str]) -> None:
    async with WebConnection.open(tasks[1]) as connection:
        connection.send("GET", SOCKET, {**HANDSHAKE, "expect": "100-continue"})
        assert (await connection.head()).status == 101
        assert await connection.reader.readexactly(1) == b"\x81"  # a frame, and no `HTTP/1.1 100 Continue`


async def test_too_long_message(waiting: WebSocketClient) -> None:
    waiting.send("x" * 70_000)
    assert await waiting.rest() == []
    assert code(waiting) == 1009


async def test_too_many_messages(waiting: WebSocketClient) -> None:
    for _ in range(100):
        waiting.send_event(Ping())
    assert await waiting.rest() == []
    assert code(waiting) == 1008


async def test_too_many_requests_at_once(tasks: tuple[TaskServer, str], waiting: WebSocketClient) -> None:
    tasks[0].holds_cancels = True
    for _ in range(9):
        waiting.send({"cancel": {}})
    assert (await waiting.receive())["error"]["reason"] == "QUOTA_EXCEEDED"
    tasks[0].go_on.set()


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(b"\x81\x01a", 1002, id="not masked"),
        pytest.param(b"\xc1\x80\0\0\0\0", 1002, id="reserved bit"),
        pytest.param(b"\x81\x81\0\0\0\0\xff", 1007, id="no UTF-8"),
        pytest.param(b"\x88\x82\0\0\0\0" + struct.pack(">H", 3000), 3000, id="closed by the client"),
    ],
)
async def test_frames_that_end_the_socket(waiting: WebSocketClient, frame: bytes, expected: int) -> None:
    waiting.send_raw(frame)
    assert await waiting.rest() == []
    assert code(waiting) == expected


async def test_client_that_goes_cancels_the_call(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    server.pause_after = 1
    async with WebSocketClient.open(address, SOCKET) as client:
        await client.receive()
    await asyncio.wait_for(server.watch_ended.wait(), 2)


async def test_pings_find_dead_clients() -> None:
    async with task_server() as (server, backend), serving_gateway(backend, idle_stream_seconds=0.1) as address:
        server.pause_after = 1
        async with WebSocketClient.open(address, SOCKET) as lively, WebSocketClient.open(address, SOCKET) as dead:
            reading = asyncio.create_task(lively.rest())
            dead.answers_pings = False
            assert sequences(await dead.rest()) == [1]
            assert (dead.pings, dead.close) == (1, None)
            await reached(lambda: lively.pings >= 4)
            server.go_on.set()
            assert sequences(await reading) == list(range(1, LAST + 1))


async def test_drain() -> None:
    drain = Drain()
    async with task_server() as (server, backend), serving_gateway(backend, drain=drain) as address:
        server.pause_after = 1
        async with WebSocketClient.open(address, SOCKET) as client:
            await client.receive()
            drain.start()
            assert await client.rest() == []
    assert code(client) == 1001


async def test_slow_reader_holds_back_the_backend(tasks: tuple[TaskServer, str]) -> None:
    server, address = tasks
    server.events = long_history(400, text_bytes=50_000)
    async with WebSocketClient.open(address, SOCKET) as slow:
        async with WebSocketClient.open(address, SOCKET) as quick:
            assert len(await quick.rest()) == 400
        # What the buffers of sockets and of the stream hold: some MiB of the 20 that are asked for.
        assert min(server.told) * 50_000 < 15 << 20
        assert sequences(await slow.rest()) == list(range(1, 401))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://elsewhere.example"}, 403),
        ({"upgrade": ""}, 426),
        ({"connection": "keep-alive"}, 426),
        ({"sec-websocket-version": "8"}, 426),
        ({"sec-websocket-key": "c2hvcnQ="}, 400),
        ({"sec-websocket-key": "?"}, 400),
        ({"content-length": "1"}, 400),
    ],
)
async def test_refused_handshakes(tasks: tuple[TaskServer, str], headers: dict[str, str], status: int) -> None:
    response = await refused(tasks[1], SOCKET, **headers)
    assert response.status == status
    assert not tasks[0].watch_requests
