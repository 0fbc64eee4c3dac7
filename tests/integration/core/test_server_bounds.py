"""Clients that mean harm at a service's own port: others are answered, and memory is bounded.

Bare HTTP/2, so that no client library keeps the rules. `python -m tests.bench.never_read` is about those who do not
read.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.bench.watch_client import frame, header_block
from tests.support.engine import Engine, healthy, spec
from tests.support.gateway import WebConnection, serving_gateway
from tests.support.processes import reached
from tests.support.redis import Redis
from tests.support.scripted_agents import scripted_agents
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.client import TroupeClient
from troupe.local.launch import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 6, 7, 9
_END_STREAM, _END_HEADERS = 1, 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, b"")
_REQUEST = b"\0" + struct.pack(">I", 3) + pb.WatchTaskRequest(task_id="a").SerializeToString()
STREAMS = 10_000
MOST_MIB = 96


class Foe:
    """A connection of one who means harm; what it hears is counted by the kind of the frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        self.writer = writer
        self.head = header_block(address)
        self.heard: dict[int, int] = {}
        self.others: list[asyncio.StreamWriter] = []
        self._reader = reader
        self._hearing = asyncio.create_task(self._hear())

    @property
    def is_cut_off(self) -> bool:
        """Whether the server ended the connection; what it says last may be lost with what it had not read."""
        return self._hearing.done() or _GOAWAY in self.heard

    async def send(self, data: bytes) -> None:
        """Sends unless the server has closed."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def close(self) -> None:
        self._hearing.cancel()
        for writer in (self.writer, *self.others):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        with suppress(asyncio.CancelledError):
            await self._hearing

    async def _hear(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head, _, _ = struct.unpack(">IBI", await self._reader.readexactly(9))
                await self._reader.readexactly(head >> 8)
                self.heard[head & 255] = self.heard.get(head & 255, 0) + 1


async def open_streams(foe: Foe) -> None:
    """Requests whose bodies never come."""
    for first in range(0, STREAMS, 500):
        await foe.send(b"".join(frame(_HEADERS, _END_HEADERS, 2 * n + 1, foe.head) for n in range(first, first + 500)))


async def rapid_resets(foe: Foe) -> None:
    """Whole requests that are broken off at once."""
    reset = struct.pack(">I", 8)
    for first in range(0, 2 * STREAMS, 500):
        frames = [
            frame(_HEADERS, _END_HEADERS, 2 * n + 1, foe.head)
            + frame(_DATA, _END_STREAM, 2 * n + 1, _REQUEST)
            + frame(_RST_STREAM, 0, 2 * n + 1, reset)
            for n in range(first, first + 500)
        ]
        await foe.send(b"".join(frames))


async def endless_headers(foe: Foe) -> None:
    """A block of fields that goes on and on."""
    fields = b"".join(b"\0\x04na%02d\x10" % (n % 100) + b"v" * 16 for n in range(600))
    await foe.send(frame(_HEADERS, 0, 1, foe.head))
    for _ in range(300):
        await foe.send(frame(_CONTINUATION, 0, 1, fields))


async def empty_headers(foe: Foe) -> None:
    """The same with nothing in it."""
    await foe.send(frame(_HEADERS, 0, 1, foe.head))
    await foe.send(frame(_CONTINUATION, 0, 1, b"") * 20_000)


async def large_metadata(foe: Foe) -> None:
    """Requests with more metadata than is taken."""
    field = b"\0\x04name\x7f\x81\x03" + b"v" * 256
    for number in range(500):
        await foe.send(frame(_HEADERS, _END_HEADERS, 2 * number + 1, foe.head + field * 40))


async def pings(foe: Foe) -> None:
    """Thousands of pings."""
    for _ in range(100):
        await foe.send(frame(_PING, 0, 0, b"12345678") * 500)


async def settings(foe: Foe) -> None:
    """Settings again and again."""
    for size in range(100):
        await foe.send(frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535 + size)) * 500)


async def silence(foe: Foe) -> None:
    """Connections that say nothing, beside the one that has said hello."""
    host, port = foe.writer.get_extra_info("peername")
    for _ in range(500):
        _, writer = await asyncio.open_connection(host, port)
        foe.others.append(writer)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own(redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    engine = Engine(redis_server, tmp_path_factory.mktemp("bounds"))
    with engine.stack:
        async with scripted_agents(engine.agents_address):
            yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pid(own: Engine) -> int:
    """Of a server that is attacked in one way after the other."""
    process = own.start_orchestrator()
    await healthy(own.address)
    return process.pid


@pytest.mark.parametrize(
    "attack",
    [
        open_streams,
        rapid_resets,
        endless_headers,
        empty_headers,
        large_metadata,
        pings,
        settings,
        silence,
    ],
    ids=lambda attack: attack.__name__,
)
async def test_others_are_answered_and_memory_is_bounded(
    own: Engine, pid: int, attack: Callable[[Foe], Coroutine[None, None, None]]
) -> None:
    before = _resident_mib(pid)
    host, _, port = own.address.rpartition(":")
    foe = Foe(*await asyncio.open_connection(host, int(port)), own.address)
    try:
        await foe.send(_PREFACE)
        attacking = asyncio.create_task(attack(foe))
        async with own.open() as channel:
            stub: Stub = OrchestratorServiceStub(channel)
            answered = 0
            while not attacking.done() or not answered:
                await stub.ListAgents(pb.ListAgentsRequest(), timeout=30)
                answered += 1
        await attacking
        assert _resident_mib(pid) - before < MOST_MIB
        if attack is pings:
            await reached(lambda: foe.is_cut_off)
    finally:
        await foe.close()


async def test_a_connection_has_so_many_streams_and_clients_open_another(own: Engine) -> None:
    address = f"127.0.0.1:{free_port()}"
    own.start_orchestrator(address, TROUPE_ORCHESTRATOR__SERVER__MAX_STREAMS_PER_CONNECTION="20")
    await healthy(address)
    async with own.open(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(100)]
        answers = await asyncio.gather(*(anext(aiter(watch)) for watch in watches))
        assert len(answers) == 100
        await OrchestratorServiceStub(channel).ListAgents(pb.ListAgentsRequest(), timeout=30)
        for watch in watches:
            watch.cancel()


async def test_connections_that_grow_old_cost_nobody_an_event(own: Engine) -> None:
    """Clients go on at another connection; calls that are open are let be, or cut where that is set."""
    address = f"127.0.0.1:{free_port()}"
    own.start_orchestrator(
        address,
        TROUPE_ORCHESTRATOR__SERVER__MAX_CONNECTION_AGE_SECONDS="0.3",
        TROUPE_ORCHESTRATOR__SERVER__MAX_CONNECTION_AGE_GRACE_SECONDS="0.3",
        TROUPE_ORCHESTRATOR__CHECKPOINT_SECONDS="0.1",
    )
    own.start_worker()
    await healthy(address)
    async with (
        TroupeClient(address) as client,
        serving_gateway(address) as gateway,
        WebConnection.open(gateway) as browser,
    ):
        task = await client.submit(spec(("c", "chatty", "400 100", []), ("n", "noop", "x", ["c"])))
        sequences: list[int] = []
        async for event in client.watch(task.task_id):
            if not sequences:  # for several lives of a connection
                since = asyncio.get_running_loop().time()
                while asyncio.get_running_loop().time() - since < 2:
                    browser.call("GetTask", pb.GetTaskRequest(task_id=task.task_id))
                    assert (await browser.answer()).grpc_status == 0
                    assert await client.agents()
            sequences.append(event.sequence)
    assert sequences == list(range(1, len(sequences) + 1))
    assert event.HasField("task_completed")


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
