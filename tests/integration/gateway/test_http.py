"""What stands around calls: pages, CORS, limits, bytes that are no HTTP."""

import asyncio

import pytest

from tests.support.echo import Echo
from tests.support.gateway import BINARY, SERVICE, WebConnection, WebResponse, call, fetch, serving_gateway
from tests.support.processes import reached
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.gateway.downstream.exchange import Downstream
from troupe.gateway.downstream.http1 import Http1Limits
from troupe.gateway.server import WebServer
from troupe.gateway.wire.request import RequestHead


async def raw(address: str, data: bytes) -> bytes:
    """Sends bytes and reads until the gateway closes."""
    async with WebConnection.open(address) as connection:
        connection.writer.write(data)
        return await asyncio.wait_for(connection.reader.read(), 5)


async def test_index_says_what_this_is(gateway: str) -> None:
    page = await fetch(gateway, "GET", "/")
    assert page.status == 200
    assert page.headers["content-type"].startswith(("text/html", "text/plain"))  # the live page, or how to build it
    assert b"Troupe" in page.body


async def test_index_is_not_sent_twice(gateway: str) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.send("GET", "/", {})
        etag = (await connection.response()).headers["etag"]
        connection.send("GET", "/", {"if-none-match": etag})
        head = await connection.head()
        assert (head.status, head.headers["etag"]) == (304, etag)
        assert "content-length" not in head.headers
        connection.send("GET", "/healthz", {})
        assert (await connection.response()).status == 200


async def test_head_has_no_body(gateway: str) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.send("HEAD", "/", {})
        head = await connection.head()
        assert int(head.headers["content-length"]) > 100
        connection.send("GET", "/healthz", {})
        assert (await connection.response()).status == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/nowhere", {}, 404),
        ("POST", "/nowhere", {}, 404),
        ("GET", SERVICE + "GetTask", {}, 405),
        ("DELETE", "/", {}, 405),
        ("POST", SERVICE + "GetTask", {"content-type": "text/plain"}, 415),
        ("POST", SERVICE + "GetTask", {"content-type": "application/connect+proto"}, 415),
        ("POST", SERVICE + "RunTask", {"content-type": "application/json"}, 415),
        ("POST", "/run-something", {"content-type": "application/json"}, 404),
        ("POST", SERVICE + "GetTask", {"content-type": "application/grpc"}, 415),
        ("POST", SERVICE + "GetTask", {}, 415),
        ("POST", SERVICE + "GetTask", {"content-type": BINARY, "origin": "https://elsewhere.example"}, 403),
        ("OPTIONS", SERVICE + "GetTask", {}, 405),
    ],
)
async def test_requests_that_are_no_calls(
    gateway: str, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with WebConnection.open(gateway) as connection:
        for _ in range(2):  # the connection stays usable
            connection.send(method, path, headers)
            response = await connection.response()
            assert response.status == status
            assert response.body.endswith(b"\n")


@pytest.mark.parametrize(
    "path",
    [
        "/unknown.Service/Method",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/a/b/c",
        "/",
        SERVICE + "GetTask?x=1",
    ],
)
async def test_unknown_methods_are_unimplemented(gateway: str, path: str) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.send("POST", path, {"content-type": BINARY}, b"\x00\x00\x00\x00\x00")
        response = await connection.answer()
    assert (response.status, response.grpc_status) == (200, 12)
    # What they say is part of Troupe's contract, so they stand in answers about Troupe's services only.
    assert ("grpc-status-details-bin" in response.headers) == path.startswith(SERVICE)


async def test_health_service_can_be_called(gateway: str) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.send("POST", "/grpc.health.v1.Health/Check", {"content-type": BINARY}, b"\x00\x00\x00\x00\x00")
        response = await connection.answer()
    assert response.messages == [b"\x08\x01"]


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1", "http://{gateway}"])
async def test_cors_of_allowed_origins(gateway: str, origin: str) -> None:
    origin = origin.format(gateway=gateway)
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web,x-mark",
    }
    preflight = await fetch(gateway, "OPTIONS", SERVICE + "GetTask", asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == origin
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "x-mark" in preflight.headers["access-control-allow-headers"]
    assert "origin" in preflight.headers["vary"]
    response = await call(gateway, "RunTask", pb.RunTaskRequest(task=task_pb2.TaskSpec(input="1")), origin=origin)
    assert response.headers["access-control-allow-origin"] == origin
    exposed = response.headers["access-control-expose-headers"].split(", ")
    expected = {"grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id", "x-greeting", "x-raw-bin"}
    assert expected <= set(exposed)
    assert response.headers["vary"] == "origin"


async def test_pages_of_allowed_origins_read_why_they_are_refused(gateway: str) -> None:
    own, foreign = {"origin": "http://localhost:5173"}, {"origin": "https://elsewhere.example"}
    for target, status in (("/stream/a?after_sequence=x", 400), ("/nothing", 404), ("/run-task", 405)):
        response = await fetch(gateway, "GET", target, own)
        assert (response.status, response.headers["access-control-allow-origin"]) == (status, own["origin"])
        assert "access-control-allow-origin" not in (await fetch(gateway, "GET", target, foreign)).headers


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://localhost.evil.example"])
async def test_cors_of_other_origins(gateway: str, origin: str) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    response = await fetch(gateway, "OPTIONS", SERVICE + "GetTask", asked)
    assert response.status == 403
    assert b"TROUPE_GATEWAY__CORS_ORIGINS" in response.body
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSMS\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n folded: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\x00b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 40_000, 431),
    ],
)
async def test_garbage_is_refused_and_the_connection_closed(gateway: str, data: bytes, status: int) -> None:
    assert (await raw(gateway, data)).startswith(b"HTTP/1.1 %d " % status)
    assert (await fetch(gateway, "GET", "/healthz")).status == 200


async def test_broken_chunks(gateway: str) -> None:
    fields = f"host: localhost\r\ncontent-type: {BINARY}\r\ntransfer-encoding: chunked\r\n\r\n"
    head = f"POST {SERVICE}GetTask HTTP/1.1\r\n{fields}"
    assert (await raw(gateway, head.encode() + b"zz\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"\x80\x00\x00\x00\x00", 3), (b"\x00\x00\x00\x00\x09abc", 3), (b"\x00\x00", 3), (b"\x00\xff\xff\xff\xff", 8)],
)
async def test_bodies_that_are_no_messages(gateway: str, body: bytes, code: int) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.send("POST", SERVICE + "GetTask", {"content-type": BINARY}, body)
        assert (await connection.answer()).grpc_status == code


async def test_text_body_that_is_no_base64(gateway: str) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.send("POST", SERVICE + "GetTask", {"content-type": "application/grpc-web-text"}, b"!!!!")
        assert (await connection.answer()).grpc_status == 3


async def test_bad_timeout(gateway: str) -> None:
    response = await call(gateway, "GetTask", pb.GetTaskRequest(task_id="a"), grpc_timeout="soon")
    assert response.grpc_status == 3
    assert "grpc-timeout" in response.grpc_message


async def test_http_1_0_ends_with_the_connection(gateway: str) -> None:
    body = b"\x00\x00\x00\x00\x03\x0a\x01a"
    head = f"POST {SERVICE}GetTask HTTP/1.0\r\ncontent-type: {BINARY}\r\ncontent-length: {len(body)}\r\n\r\n"
    answer = await raw(gateway, head.encode() + body)
    assert b"transfer-encoding" not in answer
    assert b"\r\nconnection: close\r\n" in answer
    assert b"grpc-status: 0" in answer


async def test_connection_close_is_honoured(gateway: str) -> None:
    answer = await raw(gateway, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert b"\r\nconnection: close\r\n" in answer


async def test_expect_continue(gateway: str) -> None:
    body = b"\x00\x00\x00\x00\x03\x0a\x01a"
    async with WebConnection.open(gateway) as connection:
        connection.writer.write(
            f"POST {SERVICE}GetTask HTTP/1.1\r\nhost: localhost\r\ncontent-type: {BINARY}\r\nexpect: 100-continue\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
        )
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.writer.write(body)
        assert (await connection.answer()).grpc_status == 0


async def test_expect_continue_means_nothing_in_http_1_0(backend: str) -> None:
    head = (
        f"POST {SERVICE}GetTask HTTP/1.0\r\ncontent-type: {BINARY}\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    )
    async with serving_gateway(backend, body_timeout_seconds=0.1) as address:
        assert (await raw(address, head.encode())).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("rest", [b"content-length: 9\r\n\r\n", b"transfer-encoding: chunked\r\n\r\nxx\r\n"])
async def test_a_request_is_answered_once_even_when_its_body_breaks_off(backend: str, rest: bytes) -> None:
    async with (
        serving_gateway(backend, body_timeout_seconds=0.2) as address,
        WebConnection.open(address) as connection,
    ):
        connection.writer.write(b"POST /nothing HTTP/1.1\r\nhost: localhost\r\n" + rest)
        assert (await connection.response()).status == 404
        assert await connection.reader.read() == b""


@pytest.mark.parametrize("target", ["xstream/a", "stream/a", "http://a/stream/a", "//stream/a"])
async def test_targets_that_are_no_paths(gateway: str, target: str) -> None:
    assert (await fetch(gateway, "GET", target)).status == 404


async def test_body_that_nobody_wants_is_read_so_that_the_answer_arrives(gateway: str) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.send("POST", "/nowhere", {}, b"x" * (4 << 20))
        assert (await connection.response()).status == 404
        connection.send("GET", "/healthz", {})
        assert (await connection.response()).status == 200


async def test_slow_head_is_cut_off(backend: str) -> None:
    async with serving_gateway(backend, header_timeout_seconds=0.1) as address:
        assert (await raw(address, b"GET / HTTP/1.1\r\nhos")).startswith(b"HTTP/1.1 408 ")


async def test_slow_body_is_cut_off(backend: str) -> None:
    head = f"POST {SERVICE}GetTask HTTP/1.1\r\nhost: localhost\r\ncontent-type: {BINARY}\r\ncontent-length: 100\r\n\r\n"
    async with serving_gateway(backend, body_timeout_seconds=0.1) as address:
        assert (await raw(address, head.encode())).startswith(b"HTTP/1.1 408 ")


async def test_idle_connection_is_closed(backend: str) -> None:
    async with serving_gateway(backend, keep_alive_seconds=0.1) as address:
        assert await raw(address, b"") == b""


async def test_calls_over_the_limit_are_refused(backend: str, echo: Echo) -> None:
    async with serving_gateway(backend, max_concurrent_calls=1) as address, WebConnection.open(address) as first:
        first.call("GetTask", pb.GetTaskRequest(task_id="slow"))
        await echo.started.wait()
        assert (await call(address, "GetTask", pb.GetTaskRequest(task_id="a"))).grpc_status == 8
        echo.release.set()
        assert (await first.answer()).grpc_status == 0


class _Pages:
    """An application that answers at once."""

    def handle(self, head: RequestHead, downstream: Downstream) -> None:
        downstream.start(200, (), length=2)
        downstream.end(b"ok")


async def test_connections_over_the_limit_are_closed() -> None:
    server = WebServer(application=_Pages(), limits=Http1Limits(), max_connections=1)
    async with server.listening("127.0.0.1:0") as address, WebConnection.open(address) as first:
        first.send("GET", "/", {})
        assert (await first.response()).status == 200
        assert await raw(address, b"") == b""


async def test_a_pipeline_whose_responses_are_not_read_waits() -> None:
    asked = 0

    class Counting:
        def handle(self, head: RequestHead, downstream: Downstream) -> None:
            nonlocal asked
            asked += 1
            downstream.start(200, (), length=4000)
            downstream.end(b"x" * 4000)

    server = WebServer(application=Counting(), limits=Http1Limits(), max_connections=10)
    async with server.listening("127.0.0.1:0") as address, WebConnection.open(address) as connection:
        connection.writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 20_000)
        await reached(lambda: asked > 50)
        for _ in range(20):  # time in which the server could read on
            await fetch(address, "GET", "/")
        assert asked < 5_000
        for _ in range(20_000):
            assert (await connection.response()).status == 200


async def test_a_long_pipeline_is_answered_without_recursion() -> None:
    server = WebServer(application=_Pages(), limits=Http1Limits(), max_connections=10)
    async with server.listening("127.0.0.1:0") as address, WebConnection.open(address) as connection:
        connection.writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 5000)
        answers: list[WebResponse] = [await connection.response() for _ in range(5000)]
    assert {answer.body for answer in answers} == {b"ok"}
