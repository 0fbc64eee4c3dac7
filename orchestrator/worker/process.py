"""Takes ready steps from Redis and has agents execute them."""

import asyncio
import os
import socket
from functools import partial

import grpc.aio

from troupe.agent import AgentServicer
from troupe.core.ids import new_id
from troupe.core.server import Drain, run, serving
from troupe.core.web.client import WebClient
from troupe.orchestrator.directory import AgentDirectory
from troupe.orchestrator.execution.local import LocalAgents, load_agents
from troupe.orchestrator.settings import WorkerSettings
from troupe.orchestrator.store.attempts import AttemptStore
from troupe.orchestrator.store.opening import Store, open_store
from troupe.orchestrator.webhooks.outbox import RedisOutbox
from troupe.orchestrator.webhooks.sender import WebhookSender
from troupe.orchestrator.webhooks.settings import WebhookSettings
from troupe.orchestrator.worker.attempt import AttemptRunner, Defaults
from troupe.orchestrator.worker.clock import keep_time
from troupe.orchestrator.worker.leases import Leases
from troupe.orchestrator.worker.slots import SlotTable
from troupe.orchestrator.worker.worker import Worker

_SERVICE = "troupe.api.agent.v1.AgentService"


async def main(drain: Drain) -> None:
    """Runs the worker until it is drained."""
    settings = WorkerSettings.load()
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{new_id()[-6:]}"
    local = load_agents(settings.local_agents) if settings.local_agents else None
    services = {} if local is None else {_SERVICE: partial(_register, local, drain)}
    async with (
        open_store(settings) as opened,
        AgentDirectory(addresses=settings.agents, known=opened.known_agents, local=local) as directory,
    ):
        store = AttemptStore(
            redis=opened.redis,
            partitions=opened.partitions,
            transitions=opened.transitions,
            worker_id=worker_id,
            lease_ms=int(settings.lease_seconds * 1000),
            prices=settings.cost_units,
            default_price=settings.default_cost_units,
        )
        defaults = Defaults(
            settings.retry.policy(), settings.step_timeout, settings.coalesce_seconds, settings.delegation.bounds()
        )
        worker = Worker(
            store=store,
            directory=directory,
            runner=AttemptRunner(store=store, directory=directory, defaults=defaults),
            leases=Leases(
                store=store, redis=opened.redis, partitions=opened.partitions, lease_seconds=settings.lease_seconds
            ),
            slots=SlotTable(directory, default_concurrency=settings.max_concurrency),
            grace_seconds=settings.server.grace_seconds,
        )
        dependencies = {"redis": opened.check, "agents": directory.check}
        async with (
            serving(settings.server, drain=drain, services=services, dependencies=dependencies),
            asyncio.TaskGroup() as group,
        ):
            clock = group.create_task(
                keep_time(
                    store,
                    opened.partitions,
                    directory,
                    seconds=settings.tick_seconds,
                    max_lost_leases=settings.max_lost_leases,
                )
            )
            notifying = group.create_task(_notify(settings.webhooks, opened))
            await worker.run(drain)
            for task in (clock, notifying):
                task.cancel()


async def _notify(settings: WebhookSettings, store: Store) -> None:
    """Calls webhooks until it is cancelled."""
    if not settings.enabled:
        return
    outbox = RedisOutbox(tasks=store.tasks, partitions=store.partitions, transitions=store.transitions)
    async with WebClient(rules=settings.rules(), timeout_seconds=settings.timeout_seconds) as client:
        await WebhookSender(outbox=outbox, client=client, settings=settings).run()


def _register(local: LocalAgents, drain: Drain, server: grpc.aio.Server) -> None:
    """The worker's own agents can be described and called like those of any server."""
    AgentServicer(local, drain=drain).add_to(server)


def run_process() -> None:
    """Runs the process to its end."""
    run("worker", main, WorkerSettings)
