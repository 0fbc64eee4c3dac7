"""Clients that mean harm over HTTP/1.1: bounded, survived, and the others are answered meanwhile."""

import asyncio
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.support.echo import Echo
from tests.support.gateway import BINARY, SERVICE, TEXT, WebConnection, call, fetch, serving_gateway
from tests.support.processes import reached, running, until
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.local.launch import Launch, free_port

REQUEST = pb.GetTaskRequest(task_id="a")
POST = f"POST {SERVICE}GetTask HTTP/1.1\r\nhost: localhost\r\ncontent-type: {BINARY}\r\n".encode()
SMUGGLED = b"GET /healthz HTTP/1.1\r\nhost: smuggled\r\n\r\n"
IDLE_CONNECTIONS = 10_000


async def is_answered(address: str, *, within_seconds: float = 2) -> None:
    """A well-behaved client gets its answer."""
    async with asyncio.timeout(within_seconds):
        assert (await call(address, "GetTask", REQUEST)).grpc_status == 0


async def until_closed(connection: WebConnection) -> bytes:
    """Everything that the gateway says before it closes."""
    parts = []
    with suppress(ConnectionError):
        while part := await connection.reader.read(1 << 16):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\n00000",
        POST + b"content-length: 5, 5\r\n\r\n00000",
        POST + b"content-length: +5\r\n\r\n00000",
        POST + b"content-length: 0x5\r\n\r\n00000",
        POST + b"content-length:\r\n\r\n",
        POST + b"content-length: 5 5\r\n\r\n00000",
        POST + b"content-length: 99999999999999999999\r\n\r\n",
        POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: x chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"x: a\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"x: a\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"x: a\x00\r\n\r\n",
        POST + b"x\x00: a\r\n\r\n",
        POST + b"x\xff: a\r\n\r\n",
        POST + b": a\r\n\r\n",
        POST + b"x\r\n\r\n",
        POST + b"host: b\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / x HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b" GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\n\n",
    ],
)
async def test_heads_that_others_read_otherwise(gateway: str, request_bytes: bytes) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.writer.write(request_bytes + SMUGGLED)
        answer = await until_closed(connection)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert answer.count(b"\r\ncontent-length: ") == 1


@pytest.mark.parametrize(
    "body",
    [
        b"1;" + b"x" * 300 + b"\r\na\r\n0\r\n\r\n",
        b"1;x\x00\r\na\r\n0\r\n\r\n",
        b"1;x\n\r\na\r\n0\r\n\r\n",
        b"1\na\n0\n\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"2\r\na\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"10000000000000001\r\na\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"1 1\r\na\r\n0\r\n\r\n",
        b"\r\n0\r\n\r\n",
        b"0\r\n" + SMUGGLED,
        b"0\r\nx: " + b"y" * 5000 + b"\r\n\r\n",
        b"0\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
    ],
)
async def test_chunks_that_others_read_otherwise(gateway: str, body: bytes) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.writer.write(POST + b"transfer-encoding: chunked\r\n\r\n" + body + SMUGGLED)
        answer = await until_closed(connection)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert answer.count(b"\r\ncontent-length: ") == 1


@pytest.mark.parametrize(
    "bomb", [b"x: y\r\n" * 2000, b"x:\r\n" * 300, b"x: " + b"y" * 16_384 + b"\r\n", b"x: y" * 9000]
)
async def test_header_bombs(gateway: str, bomb: bytes) -> None:
    async with asyncio.TaskGroup() as group:
        answers = [
            group.create_task(_say(gateway, b"GET / HTTP/1.1\r\nhost: localhost\r\n" + bomb + b"\r\n"))
            for _ in range(20)
        ]
        await is_answered(gateway)
    assert {answer.result()[:13] for answer in answers} == {b"HTTP/1.1 431 "}


async def test_blanks_before_a_bad_byte_hold_nobody_up(gateway: str) -> None:
    head = b"GET / HTTP/1.1\r\nhost: localhost\r\nx:" + b" " * 16_000 + b"\x01\r\n\r\n"
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(_say(gateway, head)) for _ in range(20)]
        await is_answered(gateway)
    assert {answer.result()[:13] for answer in answers} == {b"HTTP/1.1 400 "}


async def _say(address: str, data: bytes) -> bytes:
    async with WebConnection.open(address) as connection:
        connection.writer.write(data)
        return await until_closed(connection)


async def test_heads_that_trickle_are_cut_off(backend: str) -> None:
    async with serving_gateway(backend, header_timeout_seconds=0.2) as address, asyncio.TaskGroup() as group:
        answers = [group.create_task(_trickle(address, b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ")) for _ in range(50)]
        await is_answered(address)
    assert {answer.result()[:13] for answer in answers} == {b"HTTP/1.1 408 "}


async def test_bodies_that_trickle_are_cut_off(backend: str) -> None:
    head = POST + b"content-length: 5000\r\n\r\n"
    async with serving_gateway(backend, body_timeout_seconds=0.2) as address:
        assert (await _trickle(address, head + b"\0\0\0\x10\0")).startswith(b"HTTP/1.1 408 ")
        refused = await _trickle(address, head + b"\xff")
    assert refused.startswith(b"HTTP/1.1 200 ")
    assert refused.count(b"HTTP/1.1") == 1, "answered twice"


async def _trickle(address: str, head: bytes) -> bytes:
    """A byte at a time, each soon enough; what the gateway says in the end."""
    async with WebConnection.open(address) as connection:
        connection.writer.write(head)
        reading = asyncio.create_task(until_closed(connection))
        while not (await asyncio.wait([reading], timeout=0.05))[0]:
            connection.writer.write(b"y")
        return reading.result()


async def test_bodies_that_stall_give_their_places_back(backend: str) -> None:
    head = POST + b"content-length: 100\r\nexpect: 100-continue\r\n\r\n"
    async with (
        serving_gateway(backend, body_timeout_seconds=1, max_concurrent_calls=10) as address,
        AsyncExitStack() as stack,
    ):
        attackers = [await stack.enter_async_context(WebConnection.open(address)) for _ in range(10)]
        for attacker in attackers:
            attacker.writer.write(head)
            assert (await attacker.head()).status == 100
        assert (await call(address, "GetTask", REQUEST)).grpc_status == 8
        for attacker in attackers:
            assert (await until_closed(attacker)).startswith(b"HTTP/1.1 408 ")
        await is_answered(address)


async def test_readers_that_stall_give_their_places_back(backend: str, echo: Echo) -> None:
    spec = task_pb2.TaskSpec(input="1000", labels={"pad": "50000"})
    async with serving_gateway(backend, write_timeout_seconds=0.2) as address, WebConnection.open(address) as stalled:
        stalled.call("RunTask", pb.RunTaskRequest(task=spec))
        await asyncio.wait_for(echo.cancelled.wait(), 5)
        await is_answered(address)


@pytest.mark.parametrize("media", [BINARY, TEXT])
async def test_message_that_never_ends_is_not_taken(gateway: str, media: str) -> None:
    header = b"\x00\x7f\xff\xff\xff" if media == BINARY else b"AH////8A"
    head = POST.replace(BINARY.encode(), media.encode()) + b"transfer-encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + b"A" * 65_536 + b"\r\n"
    async with WebConnection.open(gateway) as connection:
        connection.writer.write(head + b"%x\r\n%b\r\n" % (len(header), header))
        response = await connection.answer()
        assert response.grpc_status == 8
        sent = 0
        with suppress(ConnectionError):
            while sent < 256 << 20:
                connection.writer.write(piece)
                await connection.writer.drain()
                sent += len(piece)
    assert sent < 64 << 20  # 8 MiB, and what the sockets between us hold
    await is_answered(gateway)


@dataclass(frozen=True)
class GatewayProcess:
    """A gateway of its own."""

    address: str
    pid: int

    @property
    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    @property
    def open_files(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def has_open(self, files: int) -> bool:
        return self.open_files >= files

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


@asynccontextmanager
async def gateway_process(backend: str, folder: Path) -> AsyncIterator[GatewayProcess]:
    """A process inside the block, once it serves."""
    address = f"127.0.0.1:{free_port()}"
    env = {"TROUPE_GATEWAY__LISTEN": address, "TROUPE_GATEWAY__BACKENDS": f'["{backend}"]'}

    async def serves() -> bool:
        return (await fetch(address, "GET", "/healthz")).status == 200

    with running(Launch([sys.executable, "-m", "troupe.gateway"], env), log=folder / "gateway.log") as process:
        await until(serves)
        yield GatewayProcess(address, process.pid)


async def test_pipeline_of_a_client_that_reads_nothing(backend: str, tmp_path: Path) -> None:
    async with gateway_process(backend, tmp_path) as gateway:
        before = gateway.rss_bytes
        taken = await asyncio.to_thread(_flood, gateway.address, 64 << 20)
        sys.stdout.write(
            f"\n{taken >> 10} KiB of requests were taken; it grew by {gateway.rss_bytes - before >> 10} KiB\n"
        )
        assert taken < 64 << 20  # a read or two, and what the sockets between us hold, which is some megabytes
        await is_answered(gateway.address)


def _flood(address: str, most_bytes: int) -> int:
    """Sends requests and reads nothing; how many bytes of them were taken before nothing more was."""
    host, _, port = address.rpartition(":")
    requests, taken = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 500, 0
    with socket.socket() as client, suppress(TimeoutError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.settimeout(1)
        client.connect((host, int(port)))
        while taken < most_bytes:
            taken += client.send(requests)
    return taken


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """So many files may be open, here and in what is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_ten_thousand_idle_connections(backend: str, tmp_path: Path) -> None:
    with many_files(IDLE_CONNECTIONS + 1000), ExitStack() as stack:
        async with gateway_process(backend, tmp_path) as gateway:
            await is_answered(gateway.address)
            host, _, port = gateway.address.rpartition(":")
            # Some come and go besides: the connection of the call before, those to the backend.
            rss, files = gateway.rss_bytes, gateway.open_files - 10
            for opened in range(1, IDLE_CONNECTIONS + 1):
                stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
                if opened % 1000 == 0:  # the kernel keeps no more waiting than a few thousand
                    await reached(partial(gateway.has_open, files + opened))
            await is_answered(gateway.address)
            each = (gateway.rss_bytes - rss) / IDLE_CONNECTIONS
            cpu, started = gateway.cpu_seconds, time.monotonic()
            for _ in range(5):
                await is_answered(gateway.address, within_seconds=1)
            sys.stdout.write(
                f"\n{each:,.0f} bytes a connection; CPU {gateway.cpu_seconds - cpu:.2f} s of "
                f"{time.monotonic() - started:.2f} s for five calls\n"
            )
            assert each < 16 << 10
            stack.close()
            await reached(lambda: gateway.open_files < files + 20)
