"""A Redis that is full, locked or broken is told as what it is, to callers, in the health and in the log."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest

from tests.support.engine import Engine, healthy, spec
from tests.support.processes import reached, until
from tests.support.redis import RedisServer
from tests.support.scripted_agents import scripted_agents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.errors import TroupeError
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.redis.refusals import meaning
from troupe.orchestrator.store.health import redis_check
from troupe.orchestrator.store.partitions import Partitions


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(data_dir=tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RedisClient]:
    client = RedisClient(url)
    try:
        yield client
    finally:
        await client.close()
        await asyncio.sleep(0)  # the loop closes what was cut


async def problem_of(url: str) -> str:
    """What the health check says of a Redis; empty when nothing is wrong."""
    async with connected(url) as client:
        try:
            await redis_check(client, Partitions(8))()
        except ConnectionError as error:
            return str(error)
    return ""


def at(server: RedisServer, credentials: str) -> str:
    return server.url.replace("://", f"://{credentials}@")


async def test_a_password_that_is_missing_wrong_or_not_wanted(server: RedisServer) -> None:
    assert "Redis has no password, and the setting `redis_url` names one" in await problem_of(at(server, ":geheim"))
    async with connected(server.url) as admin:
        await admin.execute("ACL", "SETUSER", "reader", "on", ">geheim", "~*", "-@all", "+ping", "+get")
        await admin.execute("CONFIG", "SET", "requirepass", "ge/he:im")
    assert "Redis asks for a password" in await problem_of(server.url)
    wrong = await problem_of(at(server, ":ge-he-im"))
    assert "Redis refuses the user or the password" in wrong
    assert "ge-he-im" not in wrong
    assert "give it more rights by ACL" in await problem_of(at(server, "reader:geheim"))
    assert await problem_of(at(server, ":ge%2Fhe:im")) == ""


async def test_a_full_redis_is_told_to_callers_and_in_health_and_log(server: RedisServer, tmp_path: Path) -> None:
    engine = Engine(server, tmp_path)
    with engine.stack:
        async with scripted_agents(engine.agents_address), connected(server.url) as admin:
            engine.start_orchestrator()
            await healthy(engine.address)
            await admin.execute("CONFIG", "SET", "maxmemory", "1mb")
            async with engine.open() as channel:
                request = pb.SubmitTaskRequest(task=spec(("first", "noop", "x", [])))
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await OrchestratorServiceStub(channel).SubmitTask(request)
            error = TroupeError.from_rpc(refused.value)
            assert error.reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
            assert error.retryable
            assert error.message.startswith("Redis is out of memory: raise its `maxmemory`")
            assert "script" not in error.message
            assert "Redis is out of memory" in await problem_of(server.url)
            await reached(lambda: "Redis is out of memory" in engine.said("orchestrator"))
            await admin.execute("CONFIG", "SET", "maxmemory", "0")
            await healthy(engine.address)


async def test_a_redis_that_cannot_write_to_disk(server: RedisServer, tmp_path: Path) -> None:
    async with connected(server.url) as admin:
        await admin.execute("CONFIG", "SET", "appendonly", "no")
        await admin.execute("CONFIG", "SET", "save", "1 1")
        shutil.rmtree(tmp_path / "redis")
        await admin.execute("SET", "key", "value")

        async def refuses() -> bool:
            return "cannot write its data to disk" in await problem_of(server.url)

        await until(refuses)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        ("LOADING Redis is loading the dataset in memory", "Redis reads its data from disk"),
        ("READONLY You can't write against a read only replica.", "must name the master"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "Redis is out of memory"),
        (
            "ERR Error running script (call to f_cd): @user_script:9: -OOM command not allowed when used memory",
            "Redis is out of memory",
        ),
        ("MISCONF Errors writing to the AOF file: No space left on device", "No space left on device"),
        ("NOREPLICAS Not enough good replicas to write.", "too few replicas"),
        ("ERR max number of clients reached", "raise its `maxclients`"),
        ("ERR something else", "Redis answers ERR something else"),
        ("ERR no ROOM", "Redis answers ERR no ROOM"),
    ],
)
def test_each_refusal_says_what_it_means(refusal: str, told: str) -> None:
    assert told in meaning(refusal)
