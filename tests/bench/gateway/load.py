"""The loads. Each returns figures by the name of their row: see `rows`."""

import math
import os
import re
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from tests.bench.gateway.doors import Process
from tests.bench.gateway.lines import Line, Wire
from tests.support.fast_backend import MESSAGE, MESSAGE_PREFIX, STAMP, Call

Figures = Mapping[str, float]

_STAMPED: Final = re.compile(re.escape(MESSAGE_PREFIX) + rb"(.{%d})m" % STAMP.size, re.DOTALL)
_READ_BYTES: Final = 1 << 16
_HOUR_US: Final = 3_600_000_000
_SILENCE_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Pace:
    """Streams on which messages come now and then."""

    streams: int
    interval_us: int


def flood(wire: Wire, process: Process, *, streams: int, messages: int, run: int = 1) -> Figures:
    """So many messages in all, as fast as they come; of each stream a run, then of the next."""
    with _open(wire, process, streams) as lines:
        each = messages // streams
        cpu_us, started = process.cpu_us(), time.perf_counter()
        for number in range(streams):
            lines[number % len(lines)].ask(Call(each, run=run))
        left = streams
        for line in _readable(lines):
            left -= len(line.receive())
            if not left:
                break
        seconds = time.perf_counter() - started
        total = each * streams
        assert sum(line.received_bytes for line in lines) > total * len(MESSAGE), "bytes are missing"
        name = f"stream_{streams}" if run == 1 else f"stream_{streams}_runs"
        return {name: total / seconds, f"{name}_cpu_us": (process.cpu_us() - cpu_us) / total}


def unary(wire: Wire, process: Process, *, streams: int, seconds: float, traced: bool = False) -> Figures:
    """Calls with one message each, one after the other on each of so many streams."""
    with _open(wire, process, streams) as lines:
        latencies_ms: list[float] = []
        asked: dict[tuple[Line, int], float] = {}

        def ask(line: Line) -> None:
            extra = b"00-%b-%b-01" % (os.urandom(16).hex().encode(), os.urandom(8).hex().encode()) if traced else b""
            now = time.perf_counter()
            asked[line, line.ask(Call(1), extra)] = now

        cpu_us, started = process.cpu_us(), time.perf_counter()
        for number in range(streams):
            ask(lines[number % len(lines)])
        for line in _readable(lines):
            for call in line.receive():
                now = time.perf_counter()
                latencies_ms.append((now - asked.pop((line, call))) * 1000)
                if now - started < seconds:
                    ask(line)
            if not asked:
                break
        elapsed, cpu_us = time.perf_counter() - started, process.cpu_us() - cpu_us
        count = len(latencies_ms)
        assert sum(line.received_bytes for line in lines) > count * len(MESSAGE), "bytes are missing"
        name = f"unary_{streams}_traced" if traced else f"unary_{streams}"
        return {name: count / elapsed, f"{name}_cpu_us": cpu_us / count, **_percentiles(name, latencies_ms)}


def paced(wire: Wire, process: Process, pace: Pace, *, seconds: float) -> Figures:
    """From the backend's write to the client's read, while all streams are open."""
    with _open(wire, process, pace.streams) as lines:
        _ask_spread(lines, pace)
        _await_first(lines, pace.streams)
        latencies_ms: list[float] = []
        cpu_us, started = process.cpu_us(), time.perf_counter()
        for latency_ns, _ in _stamps(lines):
            latencies_ms.append(latency_ns / 1e6)
            if time.perf_counter() - started > seconds:
                break
        elapsed, cpu_us = time.perf_counter() - started, process.cpu_us() - cpu_us
        due = pace.streams * elapsed * 1e6 / pace.interval_us
        name = f"paced_{pace.streams}"
        kept = len(latencies_ms) / due
        return {f"{name}_cpu": cpu_us / elapsed / 1e6, f"{name}_kept": kept, **_percentiles(name, latencies_ms)}


def idle(wire: Wire, process: Process, *, streams: int) -> Figures:
    """Memory of connections that have made a call, then of streams on them; of a process that was at rest."""
    process.settle()
    empty = process.resident_bytes()
    with _open(wire, process, streams) as lines:
        for line in lines:
            line.ask(Call(1))
            while not line.receive():
                pass
        process.settle()
        connected = process.resident_bytes()
        _ask_spread(lines, Pace(streams, _HOUR_US), delay_us=1000)
        _await_first(lines, streams)
        process.settle()
        return {
            "resident_empty": empty,
            "resident_streams": process.resident_bytes(),
            "idle_connection": (connected - empty) / len(lines),
            "idle_stream": (process.resident_bytes() - empty) / streams,
        }


def _ask_spread(lines: Sequence[Line], pace: Pace, *, delay_us: int | None = None) -> None:
    """Asks for messages without an end; unless told otherwise, the first ones spread over an interval."""
    for number in range(pace.streams):
        delay = number * pace.interval_us // pace.streams if delay_us is None else delay_us
        lines[number % len(lines)].ask(Call(0xFFFF_FFFF, min(pace.interval_us, 0xFFFF_FFFF), delay))


def _await_first(lines: Sequence[Line], streams: int) -> None:
    """Returns when the first message of every stream has come."""
    first = (sequence for _, sequence in _stamps(lines) if not sequence)
    for _ in range(streams):
        next(first)


def _stamps(lines: Sequence[Line]) -> Iterator[tuple[int, int]]:
    """Of each message that comes: its nanoseconds on the way, and its number in its stream."""
    rest: dict[Line, bytes] = {}
    for line in _readable(lines):
        data = line.socket.recv(_READ_BYTES)
        now = time.monotonic_ns()
        assert data, "the connection was closed"
        if line in rest:
            data = rest.pop(line) + data
        end = 0
        for match in _STAMPED.finditer(data):
            written, sequence = STAMP.unpack(match[1])
            end = match.end()
            yield now - written, sequence
        if tail := data[max(end, len(data) - len(MESSAGE)) :]:
            rest[line] = tail


def _readable(lines: Sequence[Line]) -> Iterator[Line]:
    """Connections on which something has come, for as long as the caller wants more."""
    by_number = {line.socket.fileno(): line for line in lines}
    with select.epoll(len(lines)) as poll:
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        while True:
            events = poll.poll(_SILENCE_SECONDS)
            assert events, f"nothing came for {_SILENCE_SECONDS:.0f} s"
            for number, _ in events:
                yield by_number[number]


@contextmanager
def _open(wire: Wire, process: Process, streams: int) -> Iterator[Sequence[Line]]:
    """Connections to a process at rest; closed at the end."""
    process.settle()
    with ExitStack() as stack:
        lines = wire.lines(process.port, streams)
        for line in lines:
            stack.enter_context(line.socket)
        yield lines


def _percentiles(name: str, latencies_ms: Sequence[float]) -> Figures:
    ordered = sorted(latencies_ms)
    last = len(ordered) - 1
    return {f"{name}_p{part}": ordered[math.floor(last * part / 100)] for part in (50, 99)}
