"""The inference service."""

import asyncio
from functools import partial

from troupe.api.inference.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server
from troupe.core.health import Check
from troupe.core.logs import get_logger
from troupe.core.server import Drain, run, serving
from troupe.inference.catalog import Catalog
from troupe.inference.rpc.service import InferenceService
from troupe.inference.settings import InferenceSettings

SERVICE = "troupe.api.inference.v1.InferenceService"


async def main(drain: Drain) -> None:
    """Serves until the process is asked to stop."""
    settings = InferenceSettings.load()
    for former, now in settings.superseded().items():
        get_logger().warning("a setting has a new name; the former one still works", setting=former, new_name=now)
    backends = [backend.open(name) for name, backend in settings.all_backends().items()]
    catalog = Catalog(
        backends, default_generator=settings.default_generator, default_embedder=settings.default_embedder
    )
    service = InferenceService(catalog=catalog, limits=settings.limits)
    services = {SERVICE: partial(add_InferenceServiceServicer_to_server, service)}
    dependencies: dict[str, Check] = {backend.name: backend.check for backend in backends if backend.models}
    async with (
        serving(settings.server, drain=drain, services=services, dependencies=dependencies),
        asyncio.TaskGroup() as group,
    ):
        recovering = [group.create_task(backend.recover(), name=f"recovery of {backend.name}") for backend in backends]
        await drain.wait()
        for task in recovering:
            task.cancel()
    for backend in backends:
        await backend.close()


def run_process() -> None:
    """Runs the process to its end."""
    run("inference", main, InferenceSettings)
