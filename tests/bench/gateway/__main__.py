"""Troupe's gateway and Envoy's grpc_web filter: same backend, same client, in turns, one process and one core each.

    python -m tests.bench.gateway [--rounds 3] [--seconds 1.5] [--http2] [--plot FILE.svg] [--json FILE]
                                  [--folder FOLDER]

Prints medians over the rounds, and how many times better than Envoy the gateway is, paired within each round. Envoy
1.39 is installed into a virtual environment below `--folder`, a temporary one unless given. Messages have 200 bytes.
Every door gets fresh processes in every round, and has to answer one call byte for byte before it is timed.

The client and the backend share the first core, the proxy has the last; with two cores that is all of them, so nothing
else should run. Neither client nor backend decodes anything: `direct`, where the client calls the backend with gRPC,
says how far they are from being the limit. Messages of 64 streams come in turns, one of each or 16 of each, on a
connection each over HTTP/1.1 and on one connection over HTTP/2, which `--http2` adds. The latency of paced streams is
from the backend's write to the client's read, by a time within the message. Heads of requests repeat unless they carry
a trace id. Access logs are off. CPU is that of all threads of a process.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.gateway import chart, cores, envoy, report
from tests.bench.gateway.doors import HTTP1, HTTP2, Door, direct, through_envoy, troupe
from tests.bench.gateway.load import Figures
from tests.bench.gateway.rows import loads
from tests.bench.gateway.verify import verify
from tests.bench.peers import UnavailableError


def _doors(folder: Path, temporary: Path) -> Sequence[Door]:
    try:
        program = envoy.install(folder / "envoy")
    except UnavailableError as error:
        print(f"Envoy: skipped, {error}")
        return [direct(), troupe()]
    return [direct(), through_envoy(program, temporary), troupe()]


def _turn(door: Door, protocol: str, folder: Path, *, seconds: float) -> Figures:
    figures: dict[str, float] = {}
    with door.open(folder) as process:
        verify(door, process, protocol)
        for load in loads(door.name, protocol, seconds=seconds):
            figures.update(load(door.wires[protocol], process))
    return figures


def _measure(arguments: argparse.Namespace, temporary: Path) -> None:
    doors = _doors(arguments.folder or temporary, temporary)
    protocols = [HTTP1, HTTP2] if arguments.http2 else [HTTP1]
    measured: dict[str, dict[str, list[Figures]]] = {name: {door.name: [] for door in doors} for name in protocols}
    started = time.monotonic()
    for _ in range(arguments.rounds):
        for protocol in protocols:
            for door in doors:
                figures = _turn(door, protocol, temporary, seconds=arguments.seconds)
                measured[protocol][door.name].append(figures)
    for protocol, rounds in measured.items():
        print(f"\n{report.table(protocol, rounds)}")
    print(f"\n{arguments.rounds} rounds in {time.monotonic() - started:.0f} s; cores {cores.LOAD} and {cores.PROXY}")
    if arguments.plot is not None:
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        arguments.plot.write_text(chart.draw(measured))
    if arguments.json is not None:
        arguments.json.write_text(report.as_json(measured))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each unary row; paced rows take twice that")
    parser.add_argument("--http2", action="store_true", help="the same rows over HTTP/2 as well")
    parser.add_argument("--plot", type=Path, help="an SVG of the ratios")
    parser.add_argument("--json", type=Path, help="all figures of all rounds")
    parser.add_argument("--folder", type=Path, help="keeps the virtual environment for the next time")
    # The client makes no cycles to speak of, and a collection would show up as latency of whoever is measured.
    gc.disable()
    with cores.pinned(cores.LOAD), tempfile.TemporaryDirectory() as name:
        _measure(parser.parse_args(), Path(name))
