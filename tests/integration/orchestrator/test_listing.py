"""Reading the indexes of many partitions in one order, against a real Redis."""

import random
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from tests.support.redis import Redis
from troupe.core.ids import new_id
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.listing import Cursor, Listing


@pytest_asyncio.fixture
async def redis(redis_server: Redis) -> AsyncIterator[RedisClient]:
    client = RedisClient(redis_server.url)
    yield client
    await client.close()


async def _indexes(redis: RedisClient, rows: Sequence[Cursor], partitions: int) -> Sequence[str]:
    """Indexes that share the rows unevenly."""
    name, draw = new_id(), random.Random(0)
    keys = [f"listing:{name}:{number}" for number in range(partitions)]
    for created_ms, task_id in rows:
        await redis.execute("ZADD", keys[min(int(draw.expovariate(1)), partitions - 1)], created_ms, task_id)
    return keys


@pytest.mark.parametrize("partitions", [1, 3, 40])
@pytest.mark.parametrize("milliseconds", [1, 5, 100_000], ids=["all at once", "many ties", "hardly any ties"])
async def test_every_task_comes_once_newest_first(redis: RedisClient, partitions: int, milliseconds: int) -> None:
    draw = random.Random(milliseconds)
    rows = [(1_700_000_000_000 + draw.randrange(milliseconds), f"task{number:03}") for number in range(400)]
    keys = await _indexes(redis, rows, partitions)
    expected = sorted(rows, reverse=True)

    listing, found = Listing(redis, keys, None), list[Cursor]()
    while page := await listing.next(51):
        found += page
    assert found == expected, "read on"

    found = []
    while page := await Listing(redis, keys, found[-1] if found else None).next(51):
        found += page
    assert found == expected, "taken up from the last row of the page before"
