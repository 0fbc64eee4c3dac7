"""What the gateway costs: streamed messages a second and time of a unary call, through it and without it.

python -m tests.bench.gateway [--messages N] [--calls N]

The client reads raw bytes and the backend writes frames that were made beforehand, so that neither is the limit.
"""

import argparse
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

from gateway.wire import hpack_blocks, http2
from tests.support.fast_backend import MESSAGE_BYTES
from troupe.local.launch import free_port

PATH = "/troupe.api.bench.v1.BenchService/Stream"
_REQUEST = b"\x00\x00\x00\x00\x00"


WEB_END = b"grpc-status: 0\r\n\r\n0\r\n\r\n"


def web_request(count: int) -> bytes:
    """A call that asks for messages."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/grpc-web+proto\r\n"
        f"x-count: {count}\r\ncontent-length: {len(_REQUEST)}\r\n\r\n"
    )
    return head.encode() + _REQUEST


UNARY = web_request(1)


class Direct:
    """gRPC with the backend itself."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self.socket.sendall(http2.PREFACE + http2.settings({http2.INITIAL_WINDOW_SIZE: http2.MAX_WINDOW_BYTES}))
        self.socket.sendall(http2.window_update(0, http2.MAX_WINDOW_BYTES - http2.DEFAULT_WINDOW_BYTES))
        self.stream_id = 1
        time.sleep(0.1)
        self.socket.recv(1 << 16)

    def call(self, count: int) -> None:
        """Streams; returns when the trailers have come."""
        block = hpack_blocks.METHOD_POST + hpack_blocks.SCHEME_HTTP
        block += hpack_blocks.encode([(b":path", PATH.encode()), (b"te", b"trailers"), (b"x-count", b"%d" % count)])
        request = http2.headers_frames(self.stream_id, block, end=False, max_frame_bytes=http2.DEFAULT_FRAME_BYTES)
        request += http2.data_frames(self.stream_id, _REQUEST, end=True, max_frame_bytes=http2.DEFAULT_FRAME_BYTES)
        self.socket.sendall(request)
        self.stream_id += 2
        total = read_until(self.socket, b"\x0bgrpc-status\x010")
        assert total >= count * (MESSAGE_BYTES + 9)
        self.socket.sendall(http2.window_update(0, count * MESSAGE_BYTES))


class Web:
    """gRPC-Web with the gateway."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)

    def call(self, count: int) -> None:
        """Streams; returns when the last chunk has come."""
        self.socket.sendall(web_request(count))
        total = read_until(self.socket, WEB_END)
        assert total >= count * MESSAGE_BYTES


def connect(port: int) -> socket.socket:
    """A connection, as soon as somebody listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def read_until(connection: socket.socket, end: bytes) -> int:
    """Reads until the bytes end so; how many there were."""
    buffer, total, tail = bytearray(1 << 20), 0, b""
    while not tail.endswith(end):
        count = connection.recv_into(buffer)
        assert count, "the connection was closed"
        total += count
        tail = (tail + buffer[max(0, count - len(end)) : count])[-len(end) :]
    return total


def concurrent_unary(port: int, connections: int, calls: int) -> float:
    """Unary calls a second, one after the other on each of several connections."""
    doors = [Web(port) for _ in range(connections)]
    left, done = calls, 0
    started = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for door in doors:
            selector.register(door.socket, selectors.EVENT_READ, bytearray())
            door.socket.sendall(UNARY)
            left -= 1
        while done < calls:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                key.data.extend(key.fileobj.recv(1 << 16))
                if not key.data.endswith(WEB_END):
                    continue
                key.data.clear()
                done += 1
                if left:
                    key.fileobj.sendall(UNARY)
                    left -= 1
    return calls / (time.perf_counter() - started)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()  # noqa: SIM115, PTH123
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(work: Callable[[], None]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(name: str, door: Direct | Web, arguments: argparse.Namespace, gateway_pid: int | None) -> None:
    """Measures one way to the backend and prints a line."""
    door.call(1000)
    cpu = cpu_seconds(gateway_pid) if gateway_pid else 0.0
    runs = [timed(lambda: door.call(arguments.messages)) for _ in range(arguments.runs)]
    cpu = cpu_seconds(gateway_pid) - cpu if gateway_pid else 0.0
    unary = sorted(timed(lambda: door.call(1)) * 1000 for _ in range(arguments.calls))
    rate = arguments.messages / statistics.median(runs)
    line = f"{name:8} {rate:10,.0f} messages/s"
    line += f"   unary p50 {statistics.median(unary):.3f} ms, p99 {unary[len(unary) * 99 // 100]:.3f} ms"
    if gateway_pid:
        line += f"   gateway CPU {cpu / arguments.messages / arguments.runs * 1e6:.2f} us/message"
    print(line)


def main() -> None:
    """Measures both ways, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    backend_port, gateway_port = free_port(), free_port()
    env = {
        **os.environ,
        "TROUPE_GATEWAY__LISTEN": f"127.0.0.1:{gateway_port}",
        "TROUPE_GATEWAY__BACKENDS": f'["127.0.0.1:{backend_port}"]',
        "TROUPE_LOG__LEVEL": "warning",
    }
    with ExitStack() as stack:
        commands = [["-m", "tests.support.fast_backend", str(backend_port)], ["-m", "gateway"]]
        processes = [stack.enter_context(subprocess.Popen([sys.executable, *c], env=env)) for c in commands]
        for process in processes:
            stack.callback(process.terminate)
        direct, web = Direct(backend_port), Web(gateway_port)
        for _ in range(2):
            report("direct", direct, arguments, None)
            report("gateway", web, arguments, processes[1].pid)
            rate = concurrent_unary(gateway_port, 16, 4 * arguments.calls)
            print(f"gateway  {rate:10,.0f} unary calls/s on 16 connections")


if __name__ == "__main__":
    main()
