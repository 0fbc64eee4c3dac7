"""A site that gives its own name this machine's address gets nothing, whatever protocol it speaks."""

import base64

import grpc
import grpc.aio
import pytest

from tests.support.gateway import BINARY, SERVICE, TEXT, WebConnection, fetch, framed, serving_gateway
from tests.support.web_http2 import Http2Client
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.local.launch import free_port

REQUEST = pb.GetTaskRequest(task_id="a")
GET_TASK = SERVICE + "GetTask"
NAMED = "TROUPE_GATEWAY__ALLOWED_HOSTS"
SOCKET = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": base64.b64encode(b"k" * 16).decode(),
}
EVIL = {"host": "evil.example:8080", "origin": "http://evil.example:8080"}
BODY = framed(REQUEST)
REQUESTS: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "the live page": ("GET", "/", {}, b""),
    "a page that is not there": ("GET", "/nowhere", {}, b""),
    "gRPC-Web": ("POST", GET_TASK, {"content-type": BINARY}, BODY),
    "gRPC-Web in text": ("POST", GET_TASK, {"content-type": TEXT}, base64.b64encode(BODY)),
    "Connect": ("POST", GET_TASK, {"content-type": "application/json"}, b"{}"),
    "Connect by GET": ("GET", f"{GET_TASK}?message=%7B%7D&encoding=json&connect=v1", {}, b""),
    "a Connect stream": ("POST", SERVICE + "WatchTask", {"content-type": "application/connect+proto"}, BODY),
    "a task": ("POST", "/run-task", {"content-type": "application/json"}, b'{"user_input": "x"}'),
    "an event stream": ("GET", "/stream/a", {}, b""),
    "metrics of a task": ("GET", "/metrics/a", {}, b""),
    "a WebSocket": ("GET", "/ws/a", SOCKET, b""),
    "the description": ("GET", "/openapi.json", {}, b""),
    "a preflight": ("OPTIONS", GET_TASK, {"access-control-request-method": "POST"}, b""),
    "another method": ("DELETE", "/", {}, b""),
}


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("foreign", [EVIL, {"host": "evil.example"}, {"host": "rebind.localhost.evil"}])
async def test_requests_to_another_name(gateway: str, request_name: str, foreign: dict[str, str]) -> None:
    method, path, headers, body = REQUESTS[request_name]
    async with WebConnection.open(gateway) as connection:
        connection.send(method, path, {**headers, **foreign}, body)
        response = await connection.response()
    assert response.status == 403
    assert NAMED in response.body.decode()
    assert foreign["host"] in response.body.decode()
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9", "[::1]", "LocalHost."])
@pytest.mark.parametrize("request_name", ["the live page", "gRPC-Web", "Connect", "an event stream", "a WebSocket"])
async def test_requests_by_names_of_loopback(gateway: str, request_name: str, host: str) -> None:
    method, path, headers, body = REQUESTS[request_name]
    async with WebConnection.open(gateway) as connection:
        connection.send(method, path, {**headers, "host": f"{host}:{gateway.rpartition(':')[2]}"}, body)
        assert (await connection.head()).status in (101, 200)


async def test_over_http2_the_authority_counts(gateway: str) -> None:
    async with Http2Client.open(gateway) as client:
        client._authority = "evil.example"
        refused = await client.response(client.send("GET", "/", {}))
        assert (refused.status, NAMED in refused.body.decode()) == (403, True)
        refused = await client.response(client.call("GetTask", REQUEST, origin="http://evil.example"))
        assert refused.status == 403
        client._authority = "localhost:1"
        assert (await client.answer(client.call("GetTask", REQUEST))).grpc_status == 0


async def test_a_grpc_client_is_told_which_setting_it_is(gateway: str) -> None:
    options = [("grpc.default_authority", "agents.example.org")]
    async with grpc.aio.insecure_channel(gateway, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await OrchestratorServiceStub(channel).GetTask(REQUEST)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert NAMED in (caught.value.details() or "")


@pytest.mark.parametrize(("allowed", "status"), [(("agents.example.org",), 200), (("*",), 200), (("other",), 403)])
async def test_names_that_are_listed(backend: str, allowed: tuple[str, ...], status: int) -> None:
    async with serving_gateway(backend, allowed_hosts=allowed) as gateway:
        assert (await fetch(gateway, "GET", "/", {"host": "agents.example.org"})).status == status


async def test_probes_call_by_any_name_and_learn_the_status_only(gateway: str) -> None:
    response = await fetch(gateway, "GET", "/healthz", EVIL)
    assert (response.status, response.body) == (200, b"")
    own = await fetch(gateway, "GET", "/healthz")
    assert b"SERVING" in own.body


async def test_a_gateway_for_others_is_called_by_address(backend: str) -> None:
    async with serving_gateway(backend, listen=f"0.0.0.0:{free_port()}") as gateway:
        for host, status in {"10.1.2.3:8080": 200, "[fd00::1]": 200, "evil.example": 403}.items():
            assert (await fetch(gateway, "GET", "/", {"host": host})).status == status


@pytest.mark.parametrize("origin", ["ftp://{own}", "http://evil//{own}", "https://{own}", "http://x@{own}", "null"])
async def test_origins_that_only_look_like_the_gateways(gateway: str, origin: str) -> None:
    asked = {"origin": origin.format(own=gateway), "content-type": BINARY}
    async with WebConnection.open(gateway) as connection:
        connection.send("POST", GET_TASK, asked, BODY)
        response = await connection.response()
    assert response.status == 403
    assert "TROUPE_GATEWAY__CORS_ORIGINS" in response.body.decode()
