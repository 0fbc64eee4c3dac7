"""`python -m orchestrator.worker`: takes ready steps from Redis and has agents execute them."""

import asyncio
import os
import socket

from orchestrator.directory import AgentDirectory
from orchestrator.settings import WorkerSettings
from orchestrator.store.attempts import AttemptStore
from orchestrator.store.health import redis_check
from orchestrator.store.partitions import Partitions
from orchestrator.store.resp import RedisClient
from orchestrator.store.transitions import Transitions
from orchestrator.worker.attempt import AttemptRunner, Defaults
from orchestrator.worker.leases import Leases
from orchestrator.worker.worker import Worker, keep_time
from troupe.core.ids import new_id
from troupe.core.server import Drain, run, serving


async def main(drain: Drain) -> None:
    """Runs the worker until it is drained."""
    settings = WorkerSettings.load()
    redis = RedisClient(settings.redis_url)
    partitions = Partitions(settings.partitions)
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{new_id()[-6:]}"
    async with (
        Transitions(redis=redis, partitions=partitions) as transitions,
        AgentDirectory(addresses=settings.agents) as directory,
    ):
        store = AttemptStore(
            redis=redis,
            partitions=partitions,
            transitions=transitions,
            worker_id=worker_id,
            lease_ms=int(settings.lease_seconds * 1000),
        )
        defaults = Defaults(settings.retry.policy(), settings.step_timeout, settings.coalesce_seconds)
        worker = Worker(
            store=store,
            directory=directory,
            runner=AttemptRunner(store=store, directory=directory, defaults=defaults),
            leases=Leases(store=store, redis=redis, partitions=partitions, lease_seconds=settings.lease_seconds),
            max_concurrency=settings.max_concurrency,
            lease_seconds=settings.lease_seconds,
            grace_seconds=settings.server.grace_seconds,
        )
        dependencies = {"redis": redis_check(redis, partitions), "agents": directory.check}
        async with (
            serving(settings.server, drain=drain, services={}, dependencies=dependencies),
            asyncio.TaskGroup() as group,
        ):
            clock = group.create_task(
                keep_time(store, partitions, seconds=settings.tick_seconds, max_lost_leases=settings.max_lost_leases)
            )
            await worker.run(drain)
            clock.cancel()
    await redis.close()


if __name__ == "__main__":
    run("worker", main)
