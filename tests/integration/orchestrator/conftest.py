"""Every test here that needs a Redis runs on one Redis and on a Redis Cluster: the engine promises the same on both."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.engine import Engine
from tests.support.redis import Redis
from tests.support.redis_kinds import run_on_each_kind
from tests.support.scripted_agents import ScriptedAgents, scripted_agents


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_on_each_kind(metafunc)


@pytest.fixture
def own(own_redis: Redis, tmp_path: Path) -> Iterator[Engine]:
    """An engine with a Redis of its own, for tests that kill what others share; the test starts the processes."""
    engine = Engine(own_redis, tmp_path)
    with engine.stack:
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def own_agents(own: Engine) -> AsyncIterator[ScriptedAgents]:
    """The agents of the test's own engine."""
    async with scripted_agents(own.agents_address) as scripted:
        yield scripted
