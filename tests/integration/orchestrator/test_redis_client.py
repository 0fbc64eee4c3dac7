"""The Redis client: shared, cut, cancelled, stalled."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.redis import RedisServer
from troupe.orchestrator.redis.client import REPLY_TIMEOUT_SECONDS, RedisClient, ReplyError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(data_dir=tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[RedisClient]:
    client = RedisClient(server.url)
    yield client
    await client.close()


async def test_replies_come_to_those_who_asked(client: RedisClient) -> None:
    replies = await asyncio.gather(*(client.execute("ECHO", str(number)) for number in range(500)))
    assert [int(reply) for reply in replies] == list(range(500))
    assert await client.execute_all([("SET", "a", 1), ("GET", "a"), ("DEL", "a")]) == [b"OK", b"1", 1]
    assert await client.execute_atomically([("INCR", "n"), ("INCR", "n")]) == [1, 2]


async def test_a_refused_command_raises_and_harms_no_other(client: RedisClient) -> None:
    refused = client.execute("NO-SUCH-COMMAND")
    fine = client.execute("PING")
    results = await asyncio.gather(refused, fine, return_exceptions=True)
    assert isinstance(results[0], ReplyError)
    assert results[1] == b"PONG"


async def test_cancelled_callers_cost_no_connection(client: RedisClient) -> None:
    for _ in range(200):
        calls = [asyncio.create_task(client.execute("ECHO", "x")) for _ in range(5)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert await client.execute("ECHO", "mine") == b"mine"
    async with client.blocking("nothing", reply_timeout_seconds=10) as blocked:
        waiting = asyncio.create_task(blocked.execute("BLPOP", "nothing", 0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    clients = (await client.execute("CLIENT", "LIST")).decode().splitlines()
    assert len(clients) <= 2


async def test_one_redis_is_no_cluster(server: RedisServer, client: RedisClient) -> None:
    assert await client.read_groups(["a", "b", "c"]) == [["a", "b", "c"]]
    several = RedisClient(f"{server.url},127.0.0.1:1")
    with pytest.raises(ReplyError, match="is no cluster"):
        await several.execute("PING")


async def test_after_a_restart_the_next_call_connects_again(server: RedisServer, client: RedisClient) -> None:
    await client.execute("SET", "kept", "yes")
    server.kill()
    with pytest.raises(OSError, match=r"(?i)cut|connect"):
        await client.execute("GET", "kept")
    server.start()
    assert await client.execute("GET", "kept") == b"yes"


async def test_a_redis_that_stands_still_counts_as_gone(server: RedisServer, client: RedisClient) -> None:
    await client.execute("PING")
    server.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(OSError, match="cut"):
        await client.execute("PING")
    assert time.monotonic() - began < 2 * REPLY_TIMEOUT_SECONDS
    server.process.send_signal(signal.SIGCONT)
    assert await client.execute("PING") == b"PONG"
