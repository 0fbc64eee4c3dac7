"""Backends that come and go, and a gateway that stops."""

import asyncio
import signal
import socket
import struct
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from grpc_health.v1 import health, health_pb2

from tests.support.echo import Echo, serving_echo
from tests.support.gateway import WebConnection, call, fetch, serving_gateway
from tests.support.processes import running, until
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.core.server import Drain
from troupe.gateway.upstream.connection import BackendConnection
from troupe.gateway.upstream.health import HealthWatch
from troupe.gateway.upstream.pool import BackendPool, ReconnectPolicy
from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.http2_client import ClientLimits
from troupe.local.launch import Launch, free_port

REQUEST = pb.GetTaskRequest(task_id="a")
HELD = pb.RunTaskRequest(task=task_pb2.TaskSpec(input="2", labels={"hold": "1"}))


async def test_backend_that_stops_and_comes_back() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with serving_echo(Echo(), address) as _:
        gateway_context = serving_gateway(address)
        gateway = await gateway_context.__aenter__()
        assert (await call(gateway, "GetTask", REQUEST)).grpc_status == 0
    try:
        await until(lambda: _answers(gateway, 14))
        down = await call(gateway, "GetTask", REQUEST)
        assert down.grpc_status == 14
        assert address in down.grpc_message
        assert (await fetch(gateway, "GET", "/healthz")).status == 503
        async with serving_echo(Echo(), address):
            await until(lambda: _answers(gateway, 0))
            assert (await fetch(gateway, "GET", "/healthz")).status == 200
    finally:
        await gateway_context.__aexit__(None, None, None)


async def _answers(gateway: str, code: int) -> bool:
    return (await call(gateway, "GetTask", REQUEST)).grpc_status == code


async def test_killed_backend_ends_open_streams_as_unavailable(tmp_path: Path) -> None:
    port = free_port()
    launch = Launch([sys.executable, "-m", "tests.support.echo", str(port)])
    with running(launch, log=tmp_path / "echo.log") as process:
        async with serving_gateway(f"127.0.0.1:{port}") as gateway, WebConnection.open(gateway) as connection:
            connection.call("RunTask", HELD)
            await connection.head()
            first = await connection.chunk()
            process.send_signal(signal.SIGKILL)
            rest = await asyncio.wait_for(connection.chunk(), 2)
            assert first
            assert b"grpc-status: 14\r\n" in rest


class Caller:
    """Wants a connection."""

    def __init__(self) -> None:
        self.refused = asyncio.Event()

    def attach(self, connection: BackendConnection) -> None:
        raise AssertionError(f"{connection.address} says nothing")

    def refuse(self, message: str) -> None:
        self.refused.set()


async def test_calls_do_not_wait_for_ever_while_attempts_to_connect_overlap() -> None:
    """A backend takes connections and says nothing; each is lost when the next one is there."""
    connections: list[asyncio.StreamWriter] = []

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connections:
            connections[-1].close()
        connections.append(writer)

    policy = ReconnectPolicy(connect_timeout_seconds=10, min_interval_seconds=0.001)
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        pool = BackendPool(addresses=(address,), connections_per_backend=2, limits=ClientLimits(), reconnect=policy)
        async with pool.running():
            first = Caller()
            pool.connect(first)

            async def call_until_refused() -> bool:
                pool.connect(Caller())  # which makes the next attempt come sooner
                return first.refused.is_set()

            await until(call_until_refused)
        connections[-1].close()


async def test_calls_go_to_all_backends_in_turns() -> None:
    echoes = [Echo(), Echo()]
    async with serving_echo(echoes[0]) as one, serving_echo(echoes[1]) as two, serving_gateway(one, two) as gateway:
        await until(lambda: _both(gateway, echoes))


async def _both(gateway: str, echoes: list[Echo]) -> bool:
    await call(gateway, "GetTask", REQUEST)
    return all(echo.started.is_set() for echo in echoes)


async def test_one_backend_of_two_is_enough() -> None:
    async with serving_echo(Echo()) as one, serving_gateway(one, f"127.0.0.1:{free_port()}") as gateway:
        for _ in range(10):
            assert (await call(gateway, "GetTask", REQUEST)).grpc_status == 0


async def test_backend_that_drains_finishes_what_is_open(echo: Echo) -> None:
    """The goodbye of gRPC's own server: GOAWAY, then the open stream to its end."""
    async with serving_echo(echo, grace_seconds=5) as backend:
        gateway_context = serving_gateway(backend)
        gateway = await gateway_context.__aenter__()
        connection_context = WebConnection.open(gateway)
        connection = await connection_context.__aenter__()
        connection.call("RunTask", HELD)
        await connection.head()
        await connection.chunk()
        asyncio.get_running_loop().call_later(0.2, echo.release.set)
    rest = b""
    while data := await connection.chunk():
        rest += data
    assert b"grpc-status: 0" in rest
    await connection_context.__aexit__(None, None, None)
    await gateway_context.__aexit__(None, None, None)


async def test_drain_refuses_new_calls_and_lets_open_ones_end(backend: str, echo: Echo) -> None:
    drain = Drain()
    async with (
        serving_gateway(backend, drain=drain, grace_seconds=5) as gateway,
        WebConnection.open(gateway) as connection,
        WebConnection.open(gateway) as idle,
    ):
        idle.send("GET", "/healthz", {})
        await idle.response()
        connection.call("RunTask", HELD)
        await connection.head()
        await connection.chunk()
        drain.start()
        assert await idle.reader.read() == b""
        assert (await call(gateway, "GetTask", REQUEST)).grpc_status == 14
        assert (await fetch(gateway, "GET", "/healthz")).status == 503
        echo.release.set()
        rest = b""
        while data := await connection.chunk():
            rest += data
        assert b"grpc-status: 0" in rest
        assert await connection.reader.read() == b""


async def test_streams_that_outlast_the_grace_are_told_to_come_back(backend: str, echo: Echo) -> None:
    drain = Drain()
    async with (
        serving_gateway(backend, drain=drain, grace_seconds=0.1) as gateway,
        WebConnection.open(gateway) as connection,
    ):
        connection.call("RunTask", HELD)
        await connection.head()
        await connection.chunk()
        drain.start()
        assert b"grpc-status: 14\r\n" in await connection.chunk()
        await asyncio.wait_for(echo.cancelled.wait(), 1)


async def test_process_starts_without_a_backend_and_stops_on_sigterm(tmp_path: Path) -> None:
    port = free_port()
    env = {"TROUPE_GATEWAY__LISTEN": f"127.0.0.1:{port}", "TROUPE_GATEWAY__BACKENDS": f'["127.0.0.1:{free_port()}"]'}
    log = tmp_path / "gateway.log"
    with running(Launch([sys.executable, "-m", "troupe.gateway"], env), log=log) as process:

        async def unhealthy() -> bool:
            return (await fetch(f"127.0.0.1:{port}", "GET", "/healthz")).status == 503

        await until(unhealthy)
        assert (await call(f"127.0.0.1:{port}", "GetTask", REQUEST)).grpc_status == 14
        process.terminate()
        assert process.wait(5) == 0
    assert "Traceback" not in log.read_text()


async def test_port_that_is_taken_is_said_plainly(gateway: str, tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    with running(
        Launch([sys.executable, "-m", "troupe.gateway"], {"TROUPE_GATEWAY__LISTEN": gateway}), log=log
    ) as process:
        assert await asyncio.to_thread(process.wait, 20) != 0
    text = log.read_text()
    assert gateway in text
    assert "TROUPE_GATEWAY__LISTEN" in text
    assert "Traceback" not in text


class HoldingCaller(Caller):
    """Keeps a stream open on the connection that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.address = ""

    def attach(self, connection: BackendConnection) -> None:
        self.address = connection.address
        HealthWatch(connection, lambda _: None)


async def test_a_backend_that_does_not_serve_gets_no_calls_because_a_healthy_one_is_full() -> None:
    """It takes two streams on each of three connections, of which one is the watch of its health."""
    servicer, options = health.aio.HealthServicer(), [("grpc.max_concurrent_streams", 2)]
    async with serving_echo(Echo(), options=options) as well, serving_echo(Echo(), servicer=servicer) as unwell:
        await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        pool = BackendPool(
            addresses=(well, unwell),
            connections_per_backend=1,
            limits=ClientLimits(),
            reconnect=ReconnectPolicy(),
            max_connections_per_backend=3,
        )

        async def known() -> bool:
            return pool.connections == {well: 1, unwell: 1} and pool.healthy == {well: True, unwell: False}

        async with pool.running():
            await until(known)
            for _ in range(5):
                await _attached(pool, well)
            beyond = HoldingCaller()
            pool.connect(beyond)
            assert beyond.refused.is_set()


async def test_the_health_is_watched_again_when_a_full_connection_has_room_again() -> None:
    """The backend ends the watch and takes no more than the one call that is open; then that ends."""
    watched = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def read(kind: int, flags: int, stream_id: int) -> None:
            await reader.readuntil(struct.pack(">BBI", kind, flags, stream_id))

        unavailable = hpack_blocks.encode([(b":status", b"200"), (b"grpc-status", b"14")])
        writer.write(http2.settings({}))
        await read(http2.SETTINGS, http2.ACK, 0)
        await read(http2.DATA, http2.END_STREAM, 1)
        await read(http2.DATA, http2.END_STREAM, 3)
        writer.write(http2.settings({http2.MAX_CONCURRENT_STREAMS: 1}))
        writer.write(http2.headers_frames(1, unavailable, end=True, max_frame_bytes=http2.DEFAULT_FRAME_BYTES))
        await read(http2.SETTINGS, http2.ACK, 0)  # behind which it has tried once
        writer.write(http2.headers_frames(3, unavailable, end=True, max_frame_bytes=http2.DEFAULT_FRAME_BYTES))
        await read(http2.DATA, http2.END_STREAM, 5)
        watched.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        policy = ReconnectPolicy(max_backoff_seconds=0)
        pool = BackendPool(addresses=(address,), connections_per_backend=1, limits=ClientLimits(), reconnect=policy)
        async with pool.running():
            pool.connect(HoldingCaller())
            await asyncio.wait_for(watched.wait(), 2)


async def _attached(pool: BackendPool, address: str) -> None:
    caller = HoldingCaller()
    pool.connect(caller)

    async def answered() -> bool:
        return bool(caller.address) or caller.refused.is_set()

    await until(answered)
    assert caller.address == address


class SilentBackend:
    """An HTTP/2 server that says its settings and then nothing more."""

    def __init__(self) -> None:
        self.received = b""
        self.grew = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http2.settings({}))
        while data := await reader.read(1 << 16):
            self.received += data
            self.grew.set()
        writer.close()

    async def has(self, data: bytes) -> None:
        while data not in self.received:
            self.grew.clear()
            await self.grew.wait()


@pytest.mark.parametrize("media", ["application/grpc-web+proto", "application/connect+proto"])
async def test_a_response_that_breaks_off_inside_a_message_is_not_ended(media: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http2.settings({}))
        await reader.readuntil(struct.pack(">BBI", http2.DATA, http2.END_STREAM, 3))  # stream 1 asks for the health
        block = hpack_blocks.encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
        body = b"\x00\x00\x00\x00\x02ab" + b"\x00\x00\x00\x00\x09partial"
        writer.write(http2.headers_frames(3, block, end=False, max_frame_bytes=http2.DEFAULT_FRAME_BYTES))
        writer.write(http2.data_frames(3, body, end=False, max_frame_bytes=http2.DEFAULT_FRAME_BYTES))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        backend = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with (
            serving_gateway(backend, connections_per_backend=1) as gateway,
            WebConnection.open(gateway) as connection,
        ):
            connection.call("WatchTask", pb.WatchTaskRequest(task_id="a"), media=media)
            assert (await connection.head()).status == 200
            assert (await connection.chunk()).endswith(b"partial")
            assert await connection.reader.read() == b""


async def test_client_that_goes_while_its_upload_is_held_back_cancels_the_call() -> None:
    silent = SilentBackend()
    async with await asyncio.start_server(silent.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with serving_gateway(f"127.0.0.1:{port}", connections_per_backend=1) as gateway:
            async with WebConnection.open(gateway) as connection:
                text = "y" * (3 << 20)
                connection.call("SubmitTask", pb.SubmitTaskRequest(task=task_pb2.TaskSpec(input=text)))
                await asyncio.wait_for(silent.has(b"y" * 1000), 2)
                own = connection.writer.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, unsent bytes too
                connection.writer.transport.abort()
            # Stream 1 asks for the health of the backend.
            await asyncio.wait_for(silent.has(http2.rst_stream(3, http2.CANCEL)), 0.5)


async def test_server_behind_that_is_no_grpc_server_is_unavailable() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with serving_echo(Echo()) as backend, serving_gateway(backend, address) as gateway:
            assert (await call(gateway, "GetTask", REQUEST)).grpc_status == 0
            health = await fetch(gateway, "GET", "/healthz")
            assert address.encode() in health.body
            assert b"HTTP/2" in health.body


async def test_more_calls_than_a_connection_takes_open_another() -> None:
    """A backend that takes eight streams on each: one is the watch of its health, one of eight is left."""
    echo, options = Echo(), [("grpc.max_concurrent_streams", 8)]
    async with (
        serving_echo(echo, options=options) as address,
        serving_gateway(address, connections_per_backend=2, max_connections_per_backend=6) as gateway,
        AsyncExitStack() as stack,
    ):
        connections = [await stack.enter_async_context(WebConnection.open(gateway)) for _ in range(60)]
        for connection in connections:
            connection.call("RunTask", HELD)
        heads = await asyncio.gather(*(connection.head() for connection in connections))
        statuses = [head.headers.get("grpc-status", "0") for head in heads]
        assert statuses.count("0") >= 36, "six connections of six or seven"
        assert set(statuses) <= {"0", "14"}, "and those beyond are told to come back"
        echo.release.set()
