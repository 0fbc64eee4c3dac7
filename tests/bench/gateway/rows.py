"""What is measured of a door in its turn, and how it reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from tests.bench.gateway import load
from tests.bench.gateway.doors import DIRECT, HTTP1, Process
from tests.bench.gateway.lines import Wire
from tests.bench.gateway.load import Figures, Pace

MESSAGES: Final = 1_000_000
# No more than a fifth of a core for either proxy.
PACES: Final = (Pace(500, 250_000), Pace(2000, 500_000))
IDLE_STREAMS: Final = 2000


@dataclass(frozen=True)
class Row:
    """A line of the table. `scale` turns what was measured into what is shown; `…` goes on with the line above."""

    key: str
    label: str
    decimals: int
    scale: float = 1
    more_is_better: bool = False


class Load(Protocol):
    """A load with its sizes."""

    def __call__(self, wire: Wire, process: Process) -> Figures: ...


ROWS: Final = (
    Row("stream_1", "messages/s, 1 stream", 0, more_is_better=True),
    Row("stream_64", "messages/s, 64 streams, one by one", 0, more_is_better=True),
    Row("stream_64_runs", "messages/s, 64 streams, 16 at once", 0, more_is_better=True),
    Row("stream_1_cpu_us", "proxy CPU, µs a message, 1 stream", 2),
    Row("stream_64_cpu_us", "… 64 streams, one by one", 2),
    Row("stream_64_runs_cpu_us", "… 64 streams, 16 at once", 2),
    Row("unary_1", "unary requests/s, 1 at a time", 0, more_is_better=True),
    Row("unary_1_p50", "… p50 ms", 2),
    Row("unary_1_p99", "… p99 ms", 2),
    Row("unary_16", "unary requests/s, 16 at a time", 0, more_is_better=True),
    Row("unary_16_p50", "… p50 ms", 2),
    Row("unary_16_p99", "… p99 ms", 2),
    Row("unary_16_cpu_us", "… proxy CPU, µs a call", 0),
    Row("unary_64", "unary requests/s, 64 at a time", 0, more_is_better=True),
    Row("unary_64_p50", "… p50 ms", 2),
    Row("unary_64_p99", "… p99 ms", 2),
    Row("unary_16_traced", "unary requests/s, 16, no two heads alike", 0, more_is_better=True),
    Row("unary_16_traced_p50", "… p50 ms", 2),
    Row("unary_16_traced_p99", "… p99 ms", 2),
    Row("paced_500_p50", "500 paced streams, p50 ms", 2),
    Row("paced_500_p99", "… p99 ms", 2),
    Row("paced_2000_p50", "2,000 paced streams, p50 ms", 2),
    Row("paced_2000_p99", "… p99 ms", 2),
    Row("paced_2000_cpu", "… proxy CPU, % of a core", 1, scale=100),
    Row("idle_stream", "memory, KiB an idle stream of 2,000", 1, scale=1 / 1024),
    Row("idle_connection", "memory, KiB an idle connection", 1, scale=1 / 1024),
    Row("resident_streams", "memory in all with 2,000 streams, MiB", 0, scale=1 / 2**20),
)
"""In the order of the table."""


def loads(door: str, protocol: str, *, seconds: float) -> Iterator[Load]:
    """What is asked of a door, in order. Memory comes first, when the process is fresh."""
    if door != DIRECT:
        yield partial(load.idle, streams=IDLE_STREAMS)
    # What an interpreter or an allocator does only once is not what is measured.
    yield _warm_up
    yield partial(load.flood, streams=1, messages=MESSAGES)
    yield partial(load.flood, streams=64, messages=MESSAGES)
    yield partial(load.flood, streams=64, messages=MESSAGES, run=16)
    for streams in (1, 16, 64):
        yield partial(load.unary, streams=streams, seconds=seconds)
    if protocol == HTTP1:
        yield partial(load.unary, streams=16, seconds=seconds, traced=True)
    for pace in PACES:
        yield partial(load.paced, pace=pace, seconds=2 * seconds)


def _warm_up(wire: Wire, process: Process) -> Figures:
    load.flood(wire, process, streams=1, messages=20_000)
    load.unary(wire, process, streams=16, seconds=0.2)
    return {}
