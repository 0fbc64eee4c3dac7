"""The peers alone, on one Valkey with the append-only file on: chains of three durable no-op steps.

    python -m tests.bench.peers [--redis-appendfsync everysec|always] [--chains 300] [--latency 100]
                                [--concurrency 100] [--only celery,taskiq] [--folder FOLDER]

Prints tasks (chains) a second with many in flight, and the latency of one chain at a time. The peers are installed into
virtual environments below `--folder`, a temporary one unless given. One that cannot be installed is skipped.
"""

import argparse
import asyncio
import socket
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.peers import Peer, UnavailableError, known_peers
from tests.support.processes import running
from troupe.local.launch import free_port
from troupe.local.servers.redis import redis_launch


async def _row(peer: Peer, redis_url: str, folder: Path, *, chains: int, latency: int, concurrency: int) -> str:
    try:
        async with peer.running(redis_url, folder):
            rate = await peer.throughput(chains, concurrency)
            ordered = sorted(await peer.latencies(latency))
    except UnavailableError as error:
        return f"{peer.name}: skipped, {error}"
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"{peer.label:<62}{rate:>10.0f}{p50:>10.2f}{p99:>10.2f}"


@contextmanager
def _redis(folder: Path, append_fsync: str) -> Iterator[str]:
    port = free_port()
    launch = redis_launch(data_dir=folder, listen=port, append_fsync=append_fsync)
    with running(launch, log=folder / "redis.log") as process:
        while process.poll() is None:
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", port)) == 0:
                    yield f"redis://127.0.0.1:{port}"
                    return
        raise AssertionError(f"the server ended with {process.returncode}")


async def _measure(arguments: argparse.Namespace, folder: Path) -> None:
    always = arguments.redis_appendfsync == "always"
    print(f"{'three-step chain of no-op steps':<62}{'tasks/s':>10}{'p50 ms':>10}{'p99 ms':>10}", flush=True)
    peers = [peer for peer in known_peers(sync_each_write=always) if peer.name in (arguments.only or peer.name)]
    counts = {name: getattr(arguments, name) for name in ("chains", "latency", "concurrency")}
    with tempfile.TemporaryDirectory() as data, _redis(Path(data), arguments.redis_appendfsync) as redis_url:
        for peer in peers:
            print(await _row(peer, redis_url, folder, **counts), flush=True)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis-appendfsync", choices=("everysec", "always"), default="everysec")
    parser.add_argument("--chains", type=int, default=300)
    parser.add_argument("--latency", type=int, default=100)
    parser.add_argument("--concurrency", type=int, default=100)
    names = [peer.name for peer in known_peers()]
    parser.add_argument("--only", type=lambda text: text.split(","), help="of " + ", ".join(names))
    parser.add_argument("--folder", type=Path, help="keeps the virtual environments for the next time")
    arguments = parser.parse_args()
    if unknown := set(arguments.only or ()) - set(names):
        parser.error(f"unknown peers {sorted(unknown)}; there are {', '.join(names)}")
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(_measure(arguments, arguments.folder or Path(temporary)))


if __name__ == "__main__":
    _main()
