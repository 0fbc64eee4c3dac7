"""Watchers that never read: what they cost the orchestrator and the gateway, and what is given back when they close.

    python -m tests.bench.never_read [--watchers 5000] [--doors grpc,sse] [--mebibytes 20] [--beside TREE]

Real Redis, worker, orchestrator and gateway, one task with a history of so many MiB; a process of its own opens the
watchers and reads nothing. Over HTTP/1.1 each has a connection, whose socket is left full. Over HTTP/2 a hundred share
one: each stream takes a MiB and its window is never opened again, while that of the connection is. Memory is RSS;
`sockets` is what the kernel holds for all of TCP. With `--beside` the same is measured in turn for another tree of this
repository, such as `git worktree add /tmp/before REVISION` makes; this file is run there as it stands here.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.watch_client import frame
from tests.support.engine import Engine, healthy, spec, submit
from tests.support.gateway import fetch, framed
from tests.support.processes import running, until
from tests.support.redis import RedisServer
from tests.support.scripted_agents import ScriptedAgents, scripted_agents
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent, TextDelta
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.logs import LogSettings, configure
from troupe.local.launch import Launch, free_port
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.attempts import Attempt, AttemptStore
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.transitions import Transitions

WATCH = "/troupe.api.orchestrator.v1.OrchestratorService/WatchTask"
EVENT_BYTES = 1_000
_STREAMS_A_CONNECTION = 100
_STREAM_BYTES = 1 << 20
_AT_ONCE = 200
_QUIET_SECONDS = 4.0
_PARTITIONS = 8
_APPENDED_BYTES = 512 << 10
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW = 0, 1, 4, 6, 8


@dataclass(frozen=True)
class Door:
    """A way to watch a task."""

    name: str
    gateway: bool
    http2: bool
    media: str = ""
    target: str = WATCH

    def head(self, task_id: str) -> list[tuple[str, str]]:
        """The fields of the request besides the pseudo ones."""
        if self.media:
            return [("content-type", self.media), ("te", "trailers"), ("connect-protocol-version", "1")]
        if "socket" not in self.name:
            return [("accept", "text/event-stream")]
        key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        return [("upgrade", "websocket"), ("connection", "Upgrade"), key, ("sec-websocket-version", "13")]

    def body(self, task_id: str) -> bytes:
        """The body of the request."""
        if self.media.endswith("+json"):
            data = json.dumps({"taskId": task_id}).encode()
            return b"\0" + struct.pack(">I", len(data)) + data
        return framed(pb.WatchTaskRequest(task_id=task_id)) if self.media else b""

    def path(self, task_id: str) -> str:
        return self.target.format(task_id)


DOORS = (
    Door("direct", gateway=False, http2=True, media="application/grpc"),
    Door("grpc", gateway=True, http2=True, media="application/grpc"),
    Door("grpc-web", gateway=True, http2=False, media="application/grpc-web+proto"),
    Door("grpc-web-2", gateway=True, http2=True, media="application/grpc-web+proto"),
    Door("connect", gateway=True, http2=False, media="application/connect+proto"),
    Door("connect-json", gateway=True, http2=False, media="application/connect+json"),
    Door("connect-json-2", gateway=True, http2=True, media="application/connect+json"),
    Door("sse", gateway=True, http2=False, target="/stream/{}"),
    Door("sse-2", gateway=True, http2=True, target="/stream/{}"),
    Door("socket", gateway=True, http2=False, target="/ws/{}"),
)


# The client: nothing but sockets.


def request_1(door: Door, task_id: str) -> bytes:
    """A request over HTTP/1.1."""
    body = door.body(task_id)
    fields = [("host", "localhost"), *[(k, v) for k, v in door.head(task_id) if k != "te"]]
    lines = [f"{'POST' if body else 'GET'} {door.path(task_id)} HTTP/1.1", *[f"{k}: {v}" for k, v in fields]]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def request_2(door: Door, task_id: str, stream: int) -> bytes:
    """A request over HTTP/2: literal fields without indexing."""
    body = door.body(task_id)
    pseudo = [(":method", "POST" if body else "GET"), (":scheme", "http"), (":path", door.path(task_id)),
              (":authority", "localhost")]  # fmt: skip
    block = b"".join(b"\0%c%b%c%b" % (len(k), k.encode(), len(v), v.encode()) for k, v in pseudo + door.head(task_id))
    head = frame(_HEADERS, 4 if body else 5, stream, block)
    return head + (frame(_DATA, 1, stream, body) if body else b"")


def open_socket(address: str) -> socket.socket:
    """A connection that takes as little as it can."""
    host, _, port = address.rpartition(":")
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect((host, int(port)))
    return opened


class Draining(asyncio.Protocol):
    """HTTP/2 whose frames are thrown away; the windows of its streams are never opened again."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        grown = frame(_WINDOW, 0, 0, struct.pack(">I", 2**31 - 1 - 65535))
        settings = frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _STREAM_BYTES))
        self._transport.write(b"".join([_PREFACE, settings, grown, *self._requests]))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 9:
            head, flags, _ = struct.unpack_from(">IBI", self._buffer)
            if len(self._buffer) < 9 + (head >> 8):
                return
            payload, self._buffer = self._buffer[9 : 9 + (head >> 8)], self._buffer[9 + (head >> 8) :]
            if head & 255 in {_SETTINGS, _PING} and not flags & 1:
                self._transport.write(frame(head & 255, 1, 0, payload if head & 255 == _PING else b""))


async def client(address: str, name: str, task_id: str, watchers: int) -> None:
    """Opens the watchers, says so in a line, and keeps them until its standard input ends."""
    door = next(door for door in DOORS if door.name == name)
    loop = asyncio.get_running_loop()
    kept: list[object] = []
    host, _, port = address.rpartition(":")
    for start in range(0, watchers, _AT_ONCE):
        count = min(_AT_ONCE, watchers - start)
        if door.http2:
            for first in range(0, count, _STREAMS_A_CONNECTION):
                numbers = range(min(_STREAMS_A_CONNECTION, count - first))
                requests = [request_2(door, task_id, 2 * number + 1) for number in numbers]
                kept.append(await loop.create_connection(partial(Draining, requests), host, int(port)))
        else:
            for _ in range(count):
                opened = open_socket(address)
                opened.sendall(request_1(door, task_id))
                kept.append(opened)
        await asyncio.sleep(0.05)
    print("open", flush=True)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    await commands.read()


# The bench.


@dataclass(frozen=True)
class Processes:
    """What is measured."""

    task_id: str
    orchestrator: "subprocess.Popen[bytes]"
    gateway: "subprocess.Popen[bytes]"
    addresses: tuple[str, str]

    def mebibytes(self) -> tuple[float, float, float]:
        """RSS of both, and what the kernel holds for sockets."""
        return _resident(self.orchestrator), _resident(self.gateway), _socket_memory()

    async def settled(
        self, *, quiet_seconds: float = _QUIET_SECONDS, most_seconds: float = 120
    ) -> tuple[float, float, float]:
        """The same once it changes no more, by and large."""
        began = since = time.monotonic()
        last = self.mebibytes()
        while (now := time.monotonic()) - since < quiet_seconds and now - began < most_seconds:
            await asyncio.sleep(0.2)
            current = self.mebibytes()
            if any(abs(a - b) > 2 for a, b in zip(current[:2], last[:2], strict=True)):
                last, since = current, now
        return self.mebibytes()


def _resident(process: "subprocess.Popen[bytes]") -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _socket_memory() -> float:
    for line in Path("/proc/net/sockstat").read_text(encoding="ascii").splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * resource.getpagesize() / (1 << 20)
    return 0.0


@contextmanager
def never_reading(processes: Processes, door: Door, watchers: int) -> "Iterator[subprocess.Popen[bytes]]":
    argv = [
        sys.executable,
        "-P",
        str(Path(__file__).resolve()),
        "--client",
        processes.addresses[door.gateway],
        door.name,
    ]
    with subprocess.Popen(
        [*argv, processes.task_id, "--watchers", str(watchers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def measure(processes: Processes, door: Door, watchers: int) -> None:
    """Prints a row."""
    before = await processes.settled()
    with never_reading(processes, door, watchers) as opening:
        assert opening.stdout
        await asyncio.to_thread(opening.stdout.readline)
        during = await processes.settled()
    after = await processes.settled()
    each = [(d - b) * 1024 / watchers for b, d in zip(before, during, strict=True)]
    cells = [f"{b:>8.0f}{d:>8.0f}{a:>8.0f}{e:>7.0f}" for b, d, a, e in zip(before, during, after, each, strict=True)]
    print(f"{door.name:<15}{watchers:>7}  " + "  ".join(cells), flush=True)


async def append_events(redis_url: str, task_id: str, sizes: Sequence[int]) -> None:
    """Events of so many bytes, as the worker records them; the agent has said one thing itself."""
    redis, partitions = RedisClient(redis_url), Partitions(_PARTITIONS)
    attempt = Attempt(task_id, "s", "hanging", 1, partitions.of_task(task_id) or 0)
    async with Transitions(redis=redis, partitions=partitions) as transitions:
        store = AttemptStore(
            redis=redis,
            partitions=partitions,
            transitions=transitions,
            worker_id="load",
            lease_ms=60_000,
            prices={},
            default_price=0,
        )
        together = max(1, _APPENDED_BYTES // max(sizes))
        for start in range(0, len(sizes), together):
            events = [_event(task_id, size) for size in sizes[start : start + together]]
            assert await store.report(attempt, first=1 + start, events=events, usage={})
    await redis.close()


def _event(task_id: str, size: int) -> bytes:
    delta = TextDelta(step_id="s", attempt=1, text="watch " * (size // 6))
    return TaskEvent(task_id=task_id, text_delta=delta).SerializeToString()


@asynccontextmanager
async def deployed(mebibytes: int) -> AsyncIterator[Processes]:
    """Starts everything; the task has its history."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis = RedisServer(data_dir=folder)
        redis.start()
        stack.callback(redis.stop)
        engine = Engine(redis, folder, stack=stack)
        async with scripted_agents(engine.agents_address) as agents:
            orchestrator = engine.start_orchestrator(TROUPE_ORCHESTRATOR__CHECKPOINT_SECONDS="15")
            engine.start_worker(TROUPE_WORKER__LEASE_SECONDS="3600")
            await healthy(engine.address)
            task_id = await _running_task(engine, agents)
            await append_events(redis.url, task_id, [EVENT_BYTES] * ((mebibytes << 20) // EVENT_BYTES or 1))
            address = f"127.0.0.1:{free_port()}"
            env = {
                "TROUPE_GATEWAY__LISTEN": address,
                "TROUPE_GATEWAY__BACKENDS": f'["{engine.address}"]',
                "TROUPE_GATEWAY__ACCESS_LOG": "false",
                "TROUPE_GATEWAY__WRITE_TIMEOUT_SECONDS": "3600",  # nobody is sent away meanwhile
            }
            launch = Launch([sys.executable, "-m", "troupe.gateway"], env)
            gateway = stack.enter_context(running(launch, log=folder / "gateway.log"))

            async def serves() -> bool:
                return (await fetch(address, "GET", "/healthz")).status == 200

            await until(serves)
            yield Processes(task_id, orchestrator, gateway, (engine.address, address))


async def _running_task(engine: Engine, agents: ScriptedAgents) -> str:
    async with engine.open() as channel:
        task_id = await submit(OrchestratorServiceStub(channel), spec(("s", "hanging", "x", [])))

    async def runs() -> bool:
        return len(agents.calls) > 0

    await until(runs)
    return task_id


async def bench(doors: Sequence[Door], watchers: int, mebibytes: int) -> None:
    """A table."""
    configure("bench", LogSettings(level="warning"))
    columns = "  ".join(f"{name + ' MiB':<24}{'KiB':>7}" for name in ("orchestrator", "gateway", "sockets"))
    print(f"{'':<15}{'':>7}  {columns}")
    print(f"{'door':<15}{'each':>7}  " + "  ".join([f"{'before':>8}{'during':>8}{'after':>8}{'each':>7}"] * 3))
    for door in doors:
        async with deployed(mebibytes) as processes:
            await measure(processes, door, watchers)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watchers", type=int, default=5_000)
    parser.add_argument("--doors", default=",".join(door.name for door in DOORS), help="some of them")
    parser.add_argument("--mebibytes", type=int, default=20, help="of the history")
    parser.add_argument("--beside", type=Path, help="another tree, measured in turn")
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if arguments.client:
        address, name, task_id = arguments.client
        asyncio.run(client(address, name, task_id, arguments.watchers))
        return
    names = arguments.doors.split(",")
    if arguments.beside is None:
        uvloop.run(bench([door for door in DOORS if door.name in names], arguments.watchers, arguments.mebibytes))
        return
    own = ["--watchers", str(arguments.watchers), "--mebibytes", str(arguments.mebibytes)]
    for name in names:
        for tree in (arguments.beside, Path(__file__).parents[2]):
            print(tree, flush=True)
            argv = [sys.executable, "-P", str(Path(__file__).resolve()), "--doors", name, *own]
            subprocess.run(argv, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, check=True)


if __name__ == "__main__":
    _main()
