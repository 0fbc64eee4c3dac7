"""The store of a process: one client of Redis, and what works over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from troupe.core.health import Check
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.health import redis_check
from troupe.orchestrator.store.known_agents import KnownAgents
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.settings import StoreSettings
from troupe.orchestrator.store.tasks import TaskStore
from troupe.orchestrator.store.transitions import Transitions


@dataclass(frozen=True)
class Store:
    """What is open."""

    redis: RedisClient
    partitions: Partitions
    transitions: Transitions
    tasks: TaskStore
    known_agents: KnownAgents

    @property
    def check(self) -> Check:
        """Raises, for health, while Redis does not do what it must."""
        return redis_check(self.redis, self.partitions)


@asynccontextmanager
async def open_store(settings: StoreSettings) -> AsyncIterator[Store]:
    """Opens the store for the block. Nothing connects before the first call."""
    redis, partitions = RedisClient(settings.redis_url), Partitions(settings.partitions)
    try:
        async with Transitions(
            redis=redis,
            partitions=partitions,
            wait_replicas=settings.wait_replicas,
            wait_timeout_ms=settings.wait_timeout_ms,
        ) as transitions:
            yield Store(
                redis=redis,
                partitions=partitions,
                transitions=transitions,
                tasks=TaskStore(redis=redis, partitions=partitions, transitions=transitions),
                known_agents=KnownAgents(redis, kept=settings.known_agents_kept),
            )
    finally:
        await redis.close()
