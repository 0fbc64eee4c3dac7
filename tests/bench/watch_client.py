"""Watches tasks over bare HTTP/2, to load a server with thousands of streams at a fraction of a gRPC client's cost.

It says what arrives on standard output, one JSON object a line: how many streams live, then what each interval brought.
Messages are not decoded: events carry a stamp in their text, `~` and the monotonic clock in ns.
"""

import asyncio
import json
import re
import resource
import struct
import sys
import time
from array import array
from collections.abc import Iterator
from typing import Any

import uvloop

from troupe.api.orchestrator.v1.orchestrator_service_pb2 import WatchTaskRequest

PATH = "/troupe.api.orchestrator.v1.OrchestratorService/WatchTask"
STREAMS_PER_CONNECTION = 250
_STAMP = re.compile(rb"~(\d{10,20});")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MOST = 2**31 - 1
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _WINDOW = 0, 1, 3, 4, 6, 8


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame. https://www.rfc-editor.org/rfc/rfc9113#section-4.1"""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def header_block(authority: str) -> bytes:
    """Literal fields without indexing. https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2"""
    fields = {":method": "POST", ":scheme": "http", ":path": PATH, ":authority": authority, "te": "trailers",
              "content-type": "application/grpc"}  # fmt: skip
    return b"".join(b"\0%c%b%c%b" % (len(k), k.encode(), len(v), v.encode()) for k, v in fields.items())


class Watching(asyncio.Protocol):
    """A connection and its streams."""

    def __init__(self, requests: list[bytes], authority: str) -> None:
        self._requests = requests
        self._headers = header_block(authority)
        self._buffer = b""
        self._unacknowledged = 0
        self.live: set[int] = set()
        self.ended: set[int] = set()
        self.latencies = array("d")
        self.messages = 0
        self.bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        settings = struct.pack(">HIHI", 4, _MOST, 5, (1 << 24) - 1)  # stream window, frame size
        out = [_PREFACE, frame(_SETTINGS, 0, 0, settings), frame(_WINDOW, 0, 0, struct.pack(">I", _MOST - 65535))]
        for number, request in enumerate(self._requests):
            out.append(frame(_HEADERS, 4, 2 * number + 1, self._headers))
            out.append(frame(_DATA, 1, 2 * number + 1, b"\0" + struct.pack(">I", len(request)) + request))
        transport.write(b"".join(out))  # type: ignore[attr-defined]  # a transport that writes

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data
        now, place, size = time.monotonic_ns(), 0, len(buffer)
        while size - place >= 9:
            head, flags, stream = struct.unpack_from(">IBI", buffer, place)
            end = place + 9 + (head >> 8)
            if end > size:
                break
            self._frame(head & 255, flags, stream, buffer[place + 9 : end], now)
            place = end
        self._buffer = buffer[place:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, now: int) -> None:
        if kind == _DATA:
            self.live.add(stream)
            self.messages += 1
            self.bytes += len(payload)
            self.latencies.extend([(now - int(stamp)) / 1e6 for stamp in _STAMP.findall(payload)])
            self._unacknowledged += len(payload)
            if self._unacknowledged > 1 << 24:
                self._transport.write(frame(_WINDOW, 0, 0, struct.pack(">I", self._unacknowledged)))
                self._unacknowledged = 0
        elif kind in {_SETTINGS, _PING} and not flags & 1:
            self._transport.write(frame(kind, 1, 0, payload if kind == _PING else b""))
        if kind == _RESET or (kind in {_DATA, _HEADERS} and flags & 1):
            self.ended.add(stream)


def _requests(task_ids: list[str], watchers: int, after: int) -> Iterator[bytes]:
    for number in range(watchers):
        task_id = task_ids[number % len(task_ids)]
        yield WatchTaskRequest(task_id=task_id, after_sequence=after).SerializeToString()


async def main(address: str, tasks: str, watchers: int, after: int) -> None:
    """Opens all streams at once; then answers each line of standard input with what came since the last."""
    with open(tasks, encoding="ascii") as lines:  # noqa: ASYNC230, PTH123 - before the clock starts
        requests = list(_requests(lines.read().split(), watchers, after))
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    parts = [requests[i : i + STREAMS_PER_CONNECTION] for i in range(0, len(requests), STREAMS_PER_CONNECTION)]
    opened = await asyncio.gather(
        *(loop.create_connection(lambda part=part: Watching(part, address), host, int(port)) for part in parts)  # type: ignore[misc]  # a lambda with a default
    )
    connections = [connection for _, connection in opened]
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while await commands.readline():
        latencies = sorted(value for connection in connections for value in connection.latencies)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(
            json.dumps(
                {
                    "live": sum(len(connection.live) for connection in connections),
                    "ended": sum(len(connection.ended) for connection in connections),
                    "messages": sum(connection.messages for connection in connections),
                    "bytes": sum(connection.bytes for connection in connections),
                    "events": len(latencies),
                    "p50": latencies[len(latencies) // 2] if latencies else 0,
                    "p99": latencies[int(len(latencies) * 0.99)] if latencies else 0,
                    "max": latencies[-1] if latencies else 0,
                    "cpu": used.ru_utime + used.ru_stime,
                }
            ),
            flush=True,
        )
        for connection in connections:
            connection.latencies = array("d")
            connection.messages = connection.bytes = 0


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
