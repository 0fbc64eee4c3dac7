"""The peers and their settings."""

from collections.abc import Sequence

from tests.bench.peers.peer import Peer
from tests.bench.peers.program import ProgramPeer
from tests.bench.peers.restate_server import RestatePeer

LANGGRAPH = ("langgraph", "langgraph-checkpoint-sqlite", "uvloop")


def known_peers(*, sync_each_write: bool = False) -> list[Peer]:
    """All of them; with `sync_each_write` SQLite syncs at each commit, as Redis does with `appendfsync always`."""
    synchronous = "FULL" if sync_each_write else "NORMAL"
    return [
        ProgramPeer(
            name="celery",
            label="Celery, Redis: prefork 2, late ack, results",
            program="celery",
            requirements=("celery[redis]", "hiredis"),
            database=1,
            workers=[_celery()],
        ),
        ProgramPeer(
            name="taskiq",
            label="taskiq, Redis streams: 2 workers, ack when saved",
            program="taskiq",
            requirements=("taskiq", "taskiq-redis", "hiredis", "uvloop"),
            database=2,
            workers=[_taskiq()],
        ),
        ProgramPeer(
            name="arq",
            label="arq, Redis: 2 workers, poll every 2 ms",
            program="arq",
            requirements=("arq", "hiredis", "uvloop"),
            database=3,
            workers=[["-m", "arq", "chain_tasks.WorkerSettings"]] * 2,
        ),
        ProgramPeer(
            name="langgraph-sqlite",
            label=f"LangGraph, AsyncSqliteSaver: durability sync, {synchronous}",
            program="langgraph",
            requirements=LANGGRAPH,
            clients=2,
            most_in_flight=20,
            env={"PEER_SAVER": "sqlite", "PEER_SYNCHRONOUS": synchronous},
        ),
        ProgramPeer(
            name="langgraph-memory",
            label="LangGraph, InMemorySaver: not durable",
            program="langgraph",
            requirements=LANGGRAPH,
            clients=2,
            most_in_flight=20,
            env={"PEER_SAVER": "memory"},
        ),
        ProgramPeer(
            name="dbos",
            label=f"DBOS, SQLite: write-ahead log, {synchronous}",
            program="dbos",
            requirements=("dbos",),
            env={"PEER_SYNCHRONOUS": synchronous},
            clients=2,
            most_in_flight=8,
        ),
        RestatePeer(
            name="restate",
            label="Restate, 4 partitions: Python SDK, hypercorn 2",
            program="restate",
            requirements=("restate-sdk[serde]", "hypercorn", "aiohttp", "uvloop"),
        ),
    ]


def _celery() -> Sequence[str]:
    options = ["--concurrency", "2", "--prefetch-multiplier", "64", "--loglevel", "warning"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return ["-m", "celery", "-A", "chain_tasks", "worker", *options, *quiet]


def _taskiq() -> Sequence[str]:
    return ["-m", "taskiq", "worker", "--workers", "2", "--log-level", "WARNING", "chain_tasks:broker"]
