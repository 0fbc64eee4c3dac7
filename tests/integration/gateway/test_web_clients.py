"""Clients as browsers have them, against a real gRPC server."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.echo import FAILURE, Echo
from tests.support.gateway import serving_gateway
from tests.support.processes import running
from tests.support.task_server import TASK_ID, Cut, history, task_server
from tests.support.web_clients import Runtime, WebClients
from troupe.local.launch import Launch, free_port

GRPC_WEB = ["connect", "grpc-web", "grpc-web-text"]
CONNECT = ["connect-json", "connect-proto"]


def node(*clients: str) -> list[Any]:
    return [pytest.param("node", client, marks=pytest.mark.node) for client in clients]


def browser(*clients: str) -> list[Any]:
    return [pytest.param("browser", client, marks=pytest.mark.browser) for client in clients]


# What Connect's own protocol asks of a browser is what it asks of Node, but for headers that pages may read.
CLIENTS = pytest.mark.parametrize(("runtime", "client"), [*node(*GRPC_WEB, *CONNECT), *browser(*GRPC_WEB)])
READERS = pytest.mark.parametrize(
    ("runtime", "client"), [*node(*GRPC_WEB, *CONNECT), *browser(*GRPC_WEB, "connect-json")]
)


@READERS
async def test_run_a_task(gateway: str, web_clients: WebClients, runtime: Runtime, client: str) -> None:
    events, outcome = await web_clients.run(runtime, client, gateway, "--input", "50", "--label", "pad=200")
    assert [event["sequence"] for event in events] == [str(number) for number in range(1, 51)]
    assert outcome["end"] == "ok"
    assert outcome["headers"]["x-greeting"] == "hello"
    assert "x-request-id" in outcome["headers"]


@CLIENTS
async def test_watch_goes_on_after_a_sequence(
    gateway: str, web_clients: WebClients, runtime: Runtime, client: str
) -> None:
    events, outcome = await web_clients.run(runtime, client, gateway, "--watch", "t", "--after", "7")
    assert [event["sequence"] for event in events] == ["8", "9", "10"]
    assert outcome["end"] == "ok"


@CLIENTS
async def test_unary_and_metadata(
    gateway: str, echo: Echo, web_clients: WebClients, runtime: Runtime, client: str
) -> None:
    tasks, outcome = await web_clients.run(runtime, client, gateway, "--get", "a", "--metadata", "x-mark=m")
    assert tasks == [{"taskId": "a"}]
    assert outcome["end"] == "ok"
    assert echo.metadata["x-mark"] == "m"


@READERS
async def test_error(gateway: str, web_clients: WebClients, runtime: Runtime, client: str) -> None:
    _, outcome = await web_clients.run(runtime, client, gateway, "--get", "missing")
    assert (outcome["end"], outcome["code"], outcome["message"]) == ("error", 5, FAILURE)
    if client.startswith("connect"):
        assert outcome["reasons"] == ["TASK_NOT_FOUND"]


@CLIENTS
async def test_deadline(gateway: str, echo: Echo, web_clients: WebClients, runtime: Runtime, client: str) -> None:
    _, outcome = await web_clients.run(runtime, client, gateway, "--get", "slow", "--timeout-ms", "300")
    assert outcome["code"] == 4
    if echo.started.is_set():  # the client's clock runs from before it has connected
        await asyncio.wait_for(echo.cancelled.wait(), 1)


# The others cannot: grpc-web reads binary bodies at their end only, and Node has no streaming XMLHttpRequest.
LIVE = pytest.mark.parametrize(
    ("runtime", "client"), [*node("connect", "connect-json"), *browser("connect", "grpc-web-text")]
)


@LIVE
async def test_events_come_as_they_happen(
    gateway: str, echo: Echo, web_clients: WebClients, runtime: Runtime, client: str
) -> None:
    async with web_clients.client(runtime, client, gateway, "--input", "2", "--label", "hold=1") as lines:
        first = await anext(lines)
        assert first["sequence"] == "1"
        echo.release.set()
        rest = [line async for line in lines]
    assert [line.get("sequence", line.get("end")) for line in rest] == ["2", "ok"]


@LIVE
async def test_cancel_reaches_the_backend(
    gateway: str, echo: Echo, web_clients: WebClients, runtime: Runtime, client: str
) -> None:
    arguments = ("--input", "2", "--label", "hold=1", "--cancel-after", "1")
    _, outcome = await web_clients.run(runtime, client, gateway, *arguments)
    assert outcome["end"] == "cancelled"
    await asyncio.wait_for(echo.cancelled.wait(), 1)


@LIVE
async def test_killed_client_cancels_the_call(
    gateway: str, echo: Echo, web_clients: WebClients, runtime: Runtime, client: str
) -> None:
    async with web_clients.client(runtime, client, gateway, "--input", "2", "--label", "hold=1") as lines:
        await anext(lines)
    await asyncio.wait_for(echo.cancelled.wait(), 2)


@pytest.mark.browser
async def test_event_source_goes_on_by_itself_and_stops_behind_the_end(web_clients: WebClients) -> None:
    async with task_server() as (server, backend), serving_gateway(backend) as address:
        server.cuts.append(Cut(5))
        events, outcome = await web_clients.run("browser", "event-source", address, "--watch", TASK_ID)
    assert [event["id"] for event in events] == [str(number) for number in range(1, len(server.events) + 1)]
    assert [event["data"]["sequence"] for event in events] == [event["id"] for event in events]
    assert outcome["end"] == "ok"
    assert [request.after_sequence for request in server.watch_requests] == [0, 5, len(server.events)]


@pytest.mark.node
async def test_what_stands_in_for_event_sources_goes_on_by_itself(web_clients: WebClients) -> None:
    async with task_server() as (server, backend), serving_gateway(backend) as address:
        server.cuts.append(Cut(5))
        events, outcome = await web_clients.run("node", "event-source-polyfill", address, "--watch", TASK_ID)
    assert [event["id"] for event in events] == [str(number) for number in range(1, len(server.events) + 1)]
    assert outcome["end"] == "ok"
    assert [request.after_sequence for request in server.watch_requests] == [0, 5]


@pytest.mark.browser
async def test_web_socket(web_clients: WebClients) -> None:
    async with task_server() as (server, backend), serving_gateway(backend) as address:
        server.pause_after = 3
        order = json.dumps({"cancel": {"reason": "enough"}})
        async with web_clients.client(
            "browser", "websocket", address, "--watch", TASK_ID, "--after", "1", "--say", order
        ) as lines:
            told = [await anext(lines) for _ in range(3)]
            server.go_on.set()
            *more, outcome = [line async for line in lines]
    (reply,) = [line["reply"] for line in told if "reply" in line]
    assert reply == {"request": "cancel", "state": "TASK_STATE_CANCELLED"}
    sequences = [line["sequence"] for line in (*told, *more) if "sequence" in line]
    assert sequences == list(range(2, len(server.events) + 1))
    assert (outcome["end"], outcome["code"]) == ("ok", 1000)
    assert server.cancel_requests[0].reason == "enough"


STREAMS = 20


@pytest.mark.browser
@pytest.mark.parametrize("client", ["connect", "connect-json", "event-source"])
async def test_twenty_streams_of_one_tab_are_live_at_once(web_clients: WebClients, tmp_path: Path, client: str) -> None:
    """HTTP/1.1 would give the tab six connections, and the other streams nothing before one of those ends."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("gateway")
    arguments = ("--watch", TASK_ID, "--streams", str(STREAMS))
    async with task_server() as (server, backend):
        server.pause_after = 1
        async with (
            serving_gateway(backend, tls=authority.client(), tls_certificate=certificate, tls_key=key) as address,
            web_clients.client("browser", client, address, *arguments, scheme="https") as lines,
        ):
            first = [await anext(lines) for _ in range(STREAMS)]
            server.go_on.set()
            *rest, outcome = [line async for line in lines]
    assert sorted(line["stream"] for line in first) == list(range(STREAMS))
    for stream in range(STREAMS):
        told = [sequence_of(line) for line in (*first, *rest) if line["stream"] == stream]
        assert told == list(range(1, len(server.events) + 1))
    assert (outcome["end"], outcome["protocols"], outcome["connections"]) == ("ok", ["h2"], 1)


@pytest.mark.node
@pytest.mark.browser
async def test_a_backend_killed_in_mid_stream_loses_and_doubles_nothing(
    web_clients: WebClients, tmp_path: Path
) -> None:
    last, killed_at = len(history()), 8
    backend = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "tests.support.task_server", backend]
    log = tmp_path / "backend.log"
    clients: list[tuple[Runtime, str]] = [
        ("node", "connect"),
        ("node", "connect-json"),
        ("browser", "event-source"),
        ("browser", "websocket"),
    ]
    async with AsyncExitStack() as stack:
        process = stack.enter_context(running(Launch([*command, str(killed_at)]), log=log))
        address = await stack.enter_async_context(serving_gateway(backend))
        streams = [
            await stack.enter_async_context(
                web_clients.client(runtime, client, address, "--watch", TASK_ID, "--resume")
            )
            for runtime, client in clients
        ]
        before = [[await anext(lines) for _ in range(killed_at)] for lines in streams]
        process.kill()
        process.wait()
        stack.enter_context(running(Launch(command), log=log))
        for (_, client), lines, told in zip(clients, streams, before, strict=True):
            *rest, outcome = [line async for line in lines]
            # A WebSocket says besides why it ends.
            events = [line for line in (*told, *rest) if "error" not in line]
            assert [sequence_of(line) for line in events] == list(range(1, last + 1)), client
            assert outcome["end"] == "ok", client


def sequence_of(line: dict[str, Any]) -> int:
    return int(line["sequence"] if "sequence" in line else line["id"])
