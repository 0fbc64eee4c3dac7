"""What a process tells Prometheus, and its health over HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import httpx2
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.support.calls import Calls, serving_calls
from tests.support.processes import until
from troupe.core.channels import open_channel
from troupe.core.server import Drain, StartupError
from troupe.local.launch import free_port

Labels = dict[str, str]


@dataclass
class Scraped:
    """A server with an admin port, its channel and a client of the admin port."""

    calls: Calls
    channel: Any  # of untyped bytes
    admin: str
    http: httpx2.AsyncClient

    async def value(self, name: str, **labels: str) -> float:
        """The sample, as Prometheus would read it; 0 when there is none."""
        text = (await self.http.get("/metrics")).text
        for family in parse_text(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return 0

    async def handled(self, method: str, code: str) -> float:
        return await self.value("troupe_grpc_server_handled_total", method=self.method(method), code=code)

    def method(self, name: str) -> str:
        return f"{self.calls.service}/{name}"


@asynccontextmanager
async def scraped(name: str, *, drain: Drain | None = None) -> AsyncIterator[Scraped]:
    """Metrics are of the process, so each test has a service name of its own."""
    calls = Calls(f"troupe.test.v1.{name}")
    admin = f"127.0.0.1:{free_port()}"
    async with (
        serving_calls(calls, admin=admin, drain=drain) as address,
        open_channel(address, retries=False) as channel,
        httpx2.AsyncClient(base_url=f"http://{admin}") as http,
    ):
        yield Scraped(calls, channel, admin, http)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"", "OK"),
        (b"missing", "NOT_FOUND"),
        (b"broken", "INTERNAL"),
        (b"aborts", "ALREADY_EXISTS"),
    ],
)
async def test_calls_are_counted_by_how_they_ended(request_: bytes, code: str) -> None:
    async with scraped(f"Counted{code}") as server:
        unary = server.channel.unary_unary(server.calls.path("Unary"))
        for _ in range(2):
            if code == "OK":
                await unary(request_)
            else:
                with pytest.raises(grpc.aio.AioRpcError):
                    await unary(request_)

        async def counted() -> bool:  # a refusal is sent before its handler has ended
            return await server.handled("Unary", code) == 2

        await until(counted)
        count = await server.value("troupe_grpc_server_handling_seconds_count", method=server.method("Unary"))
        assert count == 2


async def test_calls_that_are_too_slow_have_their_own_code() -> None:
    async with scraped("TooSlow") as server:
        unary = server.channel.unary_unary(server.calls.path("Unary"))
        with pytest.raises(grpc.aio.AioRpcError):
            await unary(b"slow", timeout=0.1)
        await server.calls.cancelled.wait()

        async def too_slow() -> bool:
            return await server.handled("Unary", "DEADLINE_EXCEEDED") == 1

        await until(too_slow)


@pytest.mark.parametrize("request_", [b"slow", b"endless"])
async def test_streams_are_open_until_they_are_given_up(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with scraped(f"Open{request_.decode()}") as server:
        stream = server.channel.unary_stream(server.calls.path("Stream"))(request_)
        await anext(aiter(stream))
        assert await server.value("troupe_grpc_server_streams_open", method=server.method("Stream")) == 1
        stream.cancel()

        async def given_up() -> bool:
            return await server.handled("Stream", "CANCELLED") == 1

        await until(given_up)
        assert await server.value("troupe_grpc_server_streams_open", method=server.method("Stream")) == 0
    assert not caplog.records


async def test_methods_of_every_shape_are_counted_and_answer() -> None:
    async def three() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"

    async with scraped("Shapes") as server:
        path, channel = server.calls.path, server.channel
        assert [m async for m in channel.unary_stream(path("Stream"))(b"x")] == [b"x"] * 3
        assert [m async for m in channel.unary_stream(path("Written"))(b"x")] == [b"x"] * 3
        assert await channel.stream_unary(path("Collect"))(three()) == b"3"
        assert [m async for m in channel.stream_stream(path("Chat"))(three())] == [b"x"] * 3
        for method in ("Stream", "Written", "Collect", "Chat"):
            assert await server.handled(method, "OK") == 1, method
            assert await server.value("troupe_grpc_server_streams_open", method=server.method(method)) == 0


async def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    async with scraped("Formats") as server:
        await server.channel.unary_unary(server.calls.path("Unary"))(b"")
        plain = await server.http.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain")
        families = {family.name: family for family in parse_text(plain.text)}
        assert families["process_resident_memory_bytes"].samples[0].value > 1e6
        (build,) = families["troupe_build_info"].samples
        assert re.fullmatch(r"\d+\.\d+\.\d+.*", build.labels["version"])
        assert all(family.documentation for name, family in families.items() if name.startswith("troupe_"))
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        openmetrics = await server.http.get("/metrics", headers=accept)
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
        families = parse_openmetrics(openmetrics.text)  # type: ignore[no-untyped-call] # of prometheus_client
        assert "troupe_grpc_server_handled" in {family.name for family in families}
        for odd in ("application/openmetrics-text; version=x", "text/plain; version=;;=", "\xff", "a" * 4000):
            answer = await server.http.get("/metrics", headers={b"Accept": odd.encode("latin-1")})
            assert answer.status_code == 200, odd


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_over_http_says_what_is_missing(path: str) -> None:
    broken = asyncio.Event()
    admin = f"127.0.0.1:{free_port()}"

    async def check() -> None:
        if not broken.is_set():
            raise ConnectionError("nobody there")

    calls = Calls("troupe.test.v1.Health")
    async with (
        serving_calls(calls, admin=admin, dependencies={"store": check}),
        httpx2.AsyncClient(base_url=f"http://{admin}") as http,
    ):

        async def named() -> bool:
            return bool((await http.get(path)).json()["problems"] == {"store": "nobody there"})

        await until(named)
        assert (await http.get(path)).status_code == 503
        broken.set()

        async def well() -> bool:
            return (await http.get(path)).status_code == 200

        await until(well)
        assert (await http.get(path)).json() == {"status": "serving", "problems": {}}


async def test_a_server_that_drains_is_still_scraped_but_no_longer_ready() -> None:
    drain = Drain()
    async with scraped("Draining", drain=drain) as server:
        drain.start()
        answer = await server.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["problems"] == {"server": "stopping"}
        assert (await server.http.get("/metrics")).status_code == 200


GARBAGE = [
    (b"\x16\x03\x01\x02\x00\x01\x00", None),  # a TLS client hello, and nothing more
    (b"hello\r\n\r\n", 400),
    (b"GET /metrics\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
    (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    (b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 405),
    (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
    (b"HEAD /metrics?x=1 HTTP/1.0\r\n\r\n", 200),
]


@pytest.mark.parametrize(("sent", "status"), GARBAGE)
async def test_the_admin_port_survives_garbage(sent: bytes, status: int | None) -> None:
    async with scraped("Garbage") as server:
        host, _, port = server.admin.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        assert answer.split(b" ")[1:2] == ([str(status).encode()] if status else [])
        assert (await server.http.get("/metrics")).status_code == 200


async def test_connections_beyond_the_bound_are_refused_and_idle_ones_do_not_hold_the_exit_up() -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(10):
        async with scraped("Many") as server:
            host, _, port = server.admin.rpartition(":")
            streams = [await asyncio.open_connection(host, int(port)) for _ in range(70)]
            for _, writer in streams:
                stack.callback(writer.close)
            refused = [await reader.read() for reader, _ in streams[64:]]
            assert all(answer.startswith(b"HTTP/1.1 503") for answer in refused)
        assert await streams[0][0].read() == b""


async def test_an_admin_port_that_is_taken_is_said() -> None:
    async with scraped("Taken") as server:
        with pytest.raises(StartupError, match=server.admin):
            async with serving_calls(Calls("troupe.test.v1.Second"), admin=server.admin):
                pass
