"""A chain of three durable no-op steps: Troupe and its peers, in turns, on one Valkey with its append-only file.

    python -m tests.bench.orchestration [--rounds 3] [--fsync everysec,always] [--only celery,taskiq]
                                        [--chains 300] [--latency 100] [--folder FOLDER]

Prints, for each way of syncing the file, the medians over the rounds: tasks a second with many in flight, the latency
of one task at a time, and how many times a peer's rate Troupe reaches, paired within each round. The peers are
installed into virtual environments below `--folder`, a temporary one unless given. One that cannot be is skipped.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.orchestration.troupe_peer import TroupePeer
from tests.bench.peers import Peer, UnavailableError, known_peers
from tests.support.redis import RedisServer

TROUPE = ("troupe-local", "troupe-grpc")


@dataclass
class Figures:
    """What one contender reached, round by round."""

    label: str
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def row(self, ours: Sequence["Figures"]) -> str:
        ordered = sorted(self.latencies)
        p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
        ratios = "".join(f"{_ratio(own.rates, self.rates):>9.1f}x" for own in ours) if self not in ours else ""
        return f"{self.label:<52}{statistics.median(self.rates):>9.0f}{p50:>9.2f}{p99:>9.2f}{ratios}"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(own / other for own, other in zip(ours, theirs, strict=True))


def _contenders(only: Sequence[str] | None, *, sync_each_write: bool) -> list[Peer]:
    ours: list[Peer] = [
        TroupePeer("troupe-local", "Troupe: agents in the worker's process", in_process=True),
        TroupePeer("troupe-grpc", "Troupe: agents in a process of their own, gRPC", in_process=False),
    ]
    peers = known_peers(sync_each_write=sync_each_write)
    return [*ours, *(peer for peer in peers if peer.name in (only or peer.name))]


async def _measure(arguments: argparse.Namespace, folder: Path, fsync: str) -> None:
    found: dict[str, Figures] = {}
    skipped: dict[str, str] = {}
    contenders = _contenders(arguments.only, sync_each_write=fsync == "always")
    with tempfile.TemporaryDirectory() as data, ExitStack() as stack:
        redis = RedisServer(data_dir=Path(data), append_fsync=fsync)
        redis.start()
        stack.callback(redis.stop)
        for _ in range(arguments.rounds):
            for peer in contenders:
                if peer.name in skipped:
                    continue
                figures = found.setdefault(peer.name, Figures(peer.label))
                try:
                    async with peer.running(redis.url, folder):
                        figures.rates.append(await peer.throughput(arguments.chains, 100))
                        figures.latencies += await peer.latencies(arguments.latency)
                except UnavailableError as error:
                    skipped[peer.name] = str(error)
                    del found[peer.name]
    _show(fsync, found, skipped)


def _show(fsync: str, found: dict[str, Figures], skipped: dict[str, str]) -> None:
    ours = [found[name] for name in TROUPE]
    titles = f"{'tasks/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'local is':>10}{'grpc is':>10}"
    print(f"\n{f'appendfsync {fsync}':<52}{titles}")
    for figures in found.values():
        print(figures.row(ours))
    for name, problem in skipped.items():
        print(f"{name}: skipped, {problem}")


async def _main(arguments: argparse.Namespace, folder: Path) -> None:
    for fsync in arguments.fsync:
        await _measure(arguments, folder, fsync)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fsync", type=lambda text: text.split(","), default=["everysec", "always"])
    parser.add_argument("--only", type=lambda text: text.split(","), help="peers, by name")
    parser.add_argument("--chains", type=int, default=300)
    parser.add_argument("--latency", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="keeps the virtual environments for the next time")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(_main(parsed, parsed.folder or Path(temporary)))
