"""The Redis client on a Redis Cluster: routed, redirected, failed over, cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.processes import until
from tests.support.redis_cluster import ClusterNode, RedisCluster
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.local.launch import free_port
from troupe.orchestrator.redis.client import RedisClient, ReplyError
from troupe.orchestrator.redis.hash_slots import key_slot
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key
from troupe.orchestrator.store.tail import tail

_KEYS = [f"key-{number}" for number in range(60)]
_COUNTER = "local n = redis.call('INCR', KEYS[1]) return {n, ARGV[1]}"


@pytest.fixture
async def client(redis_cluster: RedisCluster) -> AsyncIterator[RedisClient]:
    client = RedisClient(redis_cluster.url)
    yield client
    await client.close()
    redis_cluster.reset()


@given(key=st.one_of(st.binary(), st.text(alphabet="{}ab").map(str.encode)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_slots_are_those_of_redis(redis_cluster: RedisCluster, key: bytes) -> None:
    assert key_slot(key) == redis_cluster.nodes[0].ask("CLUSTER", "KEYSLOT", key)


async def test_commands_go_where_their_keys_are(redis_cluster: RedisCluster, client: RedisClient) -> None:
    await asyncio.gather(*(client.execute("SET", key, key) for key in _KEYS))
    commands = [("GET", key) for key in _KEYS]
    assert await client.execute_all(commands) == [key.encode() for key in _KEYS]
    assert all(master.ask("DBSIZE") >= len(_KEYS) / 6 for master in redis_cluster.masters)
    assert await client.execute_atomically([("INCR", "{t}a"), ("INCR", "{t}b"), ("INCR", "{t}a")]) == [1, 1, 2]
    assert await client.execute("PING") == b"PONG"
    with pytest.raises(ReplyError, match="CROSSSLOT"):
        await client.execute_atomically([("INCR", "a"), ("INCR", "b")])


async def test_a_script_is_loaded_on_every_master(client: RedisClient) -> None:
    sha = await client.execute("SCRIPT", "LOAD", _COUNTER)
    assert await client.execute_all([("EVALSHA", sha, 1, key, "x") for key in _KEYS]) == [[1, b"x"]] * len(_KEYS)
    with pytest.raises(ReplyError, match=r"^NOSCRIPT"):
        await client.execute("EVALSHA", "f" * 40, 1, "a")


async def test_one_living_host_of_the_url_suffices(redis_cluster: RedisCluster) -> None:
    port = redis_cluster.nodes[-1].port
    client = RedisClient(f"redis://127.0.0.1:{free_port()},127.0.0.1:{port}")
    assert await client.execute_all([("EXISTS", key) for key in _KEYS]) == [0] * len(_KEYS)
    await client.close()


async def test_a_cluster_has_one_database(redis_cluster: RedisCluster) -> None:
    client = RedisClient(f"redis://127.0.0.1:{redis_cluster.nodes[0].port}/3")
    with pytest.raises(ReplyError, match=r"has no database 3.*a cluster has database 0 only"):
        await client.execute("GET", "a")


async def test_cancelled_callers_cost_no_connection(redis_cluster: RedisCluster, client: RedisClient) -> None:
    await client.execute_all([("GET", key) for key in _KEYS])
    before = _connections(redis_cluster)
    for _ in range(50):
        calls = [asyncio.create_task(client.execute("SET", key, "x")) for key in _KEYS]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert await client.execute_all([("ECHO", key) for key in _KEYS]) == [key.encode() for key in _KEYS]
    assert _connections(redis_cluster) == before


async def test_a_key_is_found_while_its_slot_moves_and_after(redis_cluster: RedisCluster, client: RedisClient) -> None:
    await client.execute("SET", "{t}here", 1)
    source = redis_cluster.master_of("{t}")
    target = next(master for master in redis_cluster.masters if master is not source)
    slot = key_slot("{t}")
    _begin_to_move(slot, source, target)
    assert await client.execute("INCR", "{t}here") == 2
    assert await client.execute("INCR", "{t}new") == 1
    assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
    with pytest.raises(OSError, match=r"TRYAGAIN|ASK"):
        await client.execute("MGET", "{t}here", "{t}new")
    source.ask("MIGRATE", "127.0.0.1", target.port, "{t}here", 0, 1000)
    assert await client.execute_all([("GET", "{t}here"), ("GET", "{t}new"), ("SET", "a", 1)]) == [b"2", b"1", b"OK"]
    _end_to_move(slot, source, target)
    assert await client.execute_atomically([("INCR", "{t}here"), ("INCR", "{t}new")]) == [3, 2]
    await client.execute("DEL", "{t}here", "{t}new")
    _begin_to_move(slot, target, source)
    _end_to_move(slot, target, source)
    assert await client.execute("EXISTS", "{t}here") == 0


async def test_a_planned_failover_under_load_is_not_noticed(redis_cluster: RedisCluster, client: RedisClient) -> None:
    old, new = redis_cluster.master_of("n"), redis_cluster.replica_of("n")
    answers: list[int] = []

    async def load() -> None:
        while redis_cluster.master_of("n") is old:
            answers.append(await client.execute("INCR", "n"))

    new.ask("CLUSTER", "FAILOVER")
    await asyncio.gather(*(load() for _ in range(8)))
    answers.append(await client.execute("INCR", "n"))
    assert redis_cluster.master_of("n") is new
    assert sorted(answers) == list(range(1, len(answers) + 1))


@pytest.mark.parametrize("replicated", [True, False])
async def test_a_killed_master_is_replaced_and_nothing_runs_twice(
    redis_cluster: RedisCluster, client: RedisClient, *, replicated: bool
) -> None:
    """Replication is asynchronous: what was acknowledged in the last moment may be lost, unless a replica had it."""
    old = redis_cluster.master_of("log")
    acknowledged: list[bytes] = []
    refused = 0

    async def load(name: int) -> None:
        nonlocal refused
        for number in range(1_000_000):
            entry = f"{name}-{number}"
            try:
                if replicated:
                    await client.execute_replicated(1, 500, "RPUSH", "log", entry)
                else:
                    await client.execute("RPUSH", "log", entry)
            except OSError:
                refused += 1
                await asyncio.sleep(0.02)
                continue
            acknowledged.append(entry.encode())
            if refused and len(acknowledged) > at_the_kill + 200:
                return

    at_the_kill = 0
    async with asyncio.TaskGroup() as group:
        for name in range(8):
            group.create_task(load(name))
        await until(lambda: _holds(len(acknowledged) >= 200))
        redis_cluster.kill_master_of("log")
        at_the_kill = len(acknowledged)
        await until(lambda: _holds(redis_cluster.master_of("log") is not old))
        old.start()
    stored = await client.execute("LRANGE", "log", 0, -1)
    assert refused > 0
    assert len(set(stored)) == len(stored)
    lost = set(acknowledged) - set(stored)
    assert not lost if replicated else lost <= set(acknowledged[at_the_kill - 100 : at_the_kill + 100])


async def test_a_blocked_read_is_ended_by_unblock(client: RedisClient) -> None:
    async with client.blocking("{p1}:s", reply_timeout_seconds=20) as connection:
        client_id = await connection.identity()
        assert not await client.unblock("{p1}:s", client_id)
        read = asyncio.create_task(connection.execute("XREAD", "BLOCK", 10_000, "STREAMS", "{p1}:s", "$"))
        await until(lambda: client.unblock("{p1}:s", client_id))
        assert await read is None
        await client.execute("XADD", "{p1}:s", "*", "a", "b")
        assert await connection.execute("XREAD", "STREAMS", "{p1}:s", "0")


async def test_a_blocked_read_ends_when_its_node_is_no_longer_the_master(
    redis_cluster: RedisCluster, client: RedisClient
) -> None:
    await client.execute("XADD", "s", "1-1", "a", "b")
    new = redis_cluster.replica_of("s")
    async with client.blocking("s", reply_timeout_seconds=20) as connection:
        new.ask("CLUSTER", "FAILOVER")
        with pytest.raises(OSError, match="Redis"):
            await connection.execute("XREAD", "BLOCK", 10_000, "STREAMS", "s", "$")
    async with client.blocking("s", reply_timeout_seconds=20) as connection:
        assert await connection.execute("XREAD", "STREAMS", "s", "0") == [[b"s", [[b"1-1", [b"a", b"b"]]]]]


async def test_a_blocked_read_ends_with_its_node_and_goes_on_at_the_next(
    redis_cluster: RedisCluster, client: RedisClient
) -> None:
    await client.execute_replicated(1, 1_000, "XADD", "s", "1-1", "a", "b")
    async with client.blocking("s", reply_timeout_seconds=20) as connection:
        read = asyncio.create_task(connection.execute("XREAD", "BLOCK", 10_000, "STREAMS", "s", "$"))
        await asyncio.sleep(0)
        redis_cluster.kill_master_of("s")
        with pytest.raises(OSError, match="cut"):
            await read

    async def reads_on() -> bool:
        async with client.blocking("s", reply_timeout_seconds=20) as connection:
            return bool(await connection.execute("XREAD", "STREAMS", "s", "0"))

    await until(reads_on)


async def test_the_tail_of_all_partitions_comes_from_every_master(
    redis_cluster: RedisCluster, client: RedisClient
) -> None:
    partitions = Partitions(8)
    streams = [f"{partitions.prefix(partition)}:live" for partition in partitions.all()]
    assert len({redis_cluster.master_of(stream).port for stream in streams}) == 3
    await client.execute_all([("XADD", stream, "*", "n", "earlier") for stream in streams])
    before, tasks = _connections(redis_cluster), asyncio.all_tasks()
    async with aclosing(tail(client, partitions, Key.LIVE)) as entries:
        assert await anext(entries) == []
        for wave in range(3):
            await client.execute_all([("XADD", stream, "*", "n", f"{wave} {stream}") for stream in streams])
            seen: set[bytes] = set()
            while len(seen) < len(streams):
                seen |= {entry[b"n"] for entry in await anext(entries)}
            assert seen == {f"{wave} {stream}".encode() for stream in streams}
        await client.execute("XADD", streams[0], "*", "n", "unread")
    assert asyncio.all_tasks() == tasks
    await until(lambda: _holds(_connections(redis_cluster) == before))


async def test_the_tail_ends_when_a_master_dies_and_begins_again_at_the_replica(
    redis_cluster: RedisCluster, client: RedisClient
) -> None:
    partitions = Partitions(8)
    stream = f"{partitions.prefix(0)}:live"
    async with aclosing(tail(client, partitions, Key.LIVE)) as entries:
        assert await anext(entries) == []
        redis_cluster.kill_master_of(stream)
        with pytest.raises(TroupeError) as cut:
            await anext(entries)
    assert cut.value.reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE

    async def begins_again() -> bool:
        try:
            async with aclosing(tail(client, partitions, Key.LIVE)) as entries:
                await anext(entries)
                await client.execute("XADD", stream, "*", "n", "new")
                return await anext(entries) == [{b"n": b"new"}]
        except TroupeError:
            return False

    await until(begins_again)


def _begin_to_move(slot: int, source: ClusterNode, target: ClusterNode) -> None:
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))


def _end_to_move(slot: int, source: ClusterNode, target: ClusterNode) -> None:
    for node in (target, source):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID"))


async def _holds(condition: bool) -> bool:
    return condition


def _connections(cluster: RedisCluster) -> int:
    """How many clients are connected to the masters."""
    return sum(len(master.ask("CLIENT", "LIST", "TYPE", "normal").splitlines()) for master in cluster.masters)
