"""The task API."""

import asyncio
from functools import partial

from troupe.api.orchestrator.v1 import orchestrator_service_pb2
from troupe.core.channels import open_channel
from troupe.core.server import Drain, run, serving
from troupe.orchestrator.directory import AgentDirectory
from troupe.orchestrator.intake.admission import Admission
from troupe.orchestrator.intake.submission import Submission
from troupe.orchestrator.models import ModelDirectory
from troupe.orchestrator.planner.planning import check_size_of_plan
from troupe.orchestrator.rpc.doors import MEMORY_DOOR, MODELS_DOOR
from troupe.orchestrator.rpc.registration import register_with_encoded_streams
from troupe.orchestrator.rpc.service import OrchestratorServicer
from troupe.orchestrator.settings import OrchestratorSettings
from troupe.orchestrator.store.history import History
from troupe.orchestrator.store.opening import open_store
from troupe.orchestrator.watch.hub import Hub

_SERVICE = orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"]


async def main(drain: Drain) -> None:
    """Serves until it is drained."""
    settings = OrchestratorSettings.load()
    async with (
        open_store(settings) as store,
        AgentDirectory(addresses=settings.agents, known=store.known_agents) as directory,
        open_channel(settings.memory_address, max_message_bytes=settings.memory_max_message_bytes) as memory,
        open_channel(settings.inference_address, retries=False) as inference,
        ModelDirectory(inference) as models,
    ):
        hub = Hub(
            redis=store.redis,
            partitions=store.partitions,
            history=History(store.redis, store.partitions),
            drain=drain,
            checkpoint_seconds=settings.checkpoint_seconds,
            buffer_bytes=settings.watcher_buffer_bytes,
            coalesce_seconds=settings.watch_coalesce_seconds,
            max_watchers=settings.max_watchers,
            large_message_bytes=settings.large_message_bytes,
        )
        admission = Admission(
            tasks=store.tasks,
            max_open=settings.max_open_tasks,
            max_open_per_project=settings.max_open_tasks_per_project,
        )
        submission = Submission(
            tasks=store.tasks,
            partitions=store.partitions,
            directory=directory,
            models=models,
            admission=admission,
            task_timeout=settings.task_timeout,
            webhooks=settings.webhooks,
            keeping=settings.keeping(),
        )
        servicer = OrchestratorServicer(
            tasks=store.tasks, submission=submission, hub=hub, directory=directory, drain=drain
        )
        services = {
            _SERVICE.full_name: partial(register_with_encoded_streams, servicer, _SERVICE),
            MEMORY_DOOR.service.full_name: partial(MEMORY_DOOR.register, channel=memory),
            MODELS_DOOR.service.full_name: partial(MODELS_DOOR.register, channel=inference),
        }
        dependencies = {"redis": store.check, "agents": directory.check}
        async with (
            serving(
                settings.server,
                drain=drain,
                services=services,
                dependencies=dependencies,
                precheck=check_size_of_plan,
            ),
            asyncio.TaskGroup() as group,
        ):
            following = group.create_task(hub.run())
            await hub.stop_on_drain()
            following.cancel()


def run_process() -> None:
    """Runs the process to its end."""
    run("orchestrator", main, OrchestratorSettings)
