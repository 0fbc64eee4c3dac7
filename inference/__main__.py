"""`python -m troupe.inference`: the inference service."""

import asyncio
from functools import partial

from troupe.api.inference.v1.inference_service_pb2 import Backend as BackendKind
from troupe.api.inference.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server
from troupe.core.health import Check
from troupe.core.server import Drain, run, serving
from troupe.inference.backends.backend import Backend
from troupe.inference.backends.gemini.backend import GeminiBackend
from troupe.inference.backends.triton.backend import TritonBackend
from troupe.inference.backends.triton.client import TritonClient
from troupe.inference.catalog import Catalog
from troupe.inference.rpc.service import InferenceService
from troupe.inference.settings import InferenceSettings

SERVICE = "troupe.api.inference.v1.InferenceService"


async def main(drain: Drain) -> None:
    """Serves until the process is asked to stop."""
    settings = InferenceSettings.load()
    triton = TritonBackend(client=TritonClient(settings.triton_url), models=settings.triton_models)
    backends: dict[BackendKind.ValueType, Backend] = {BackendKind.BACKEND_TRITON: triton}
    if settings.gemini_api_key is not None:
        gemini = GeminiBackend(api_key=settings.gemini_api_key, base_url=settings.gemini_base_url)
        backends[BackendKind.BACKEND_GEMINI] = gemini
    service = InferenceService(catalog=Catalog(settings, backends=backends), limits=settings.limits)
    services = {SERVICE: partial(add_InferenceServiceServicer_to_server, service)}
    dependencies: dict[str, Check] = {"triton": triton.check} if settings.triton_models else {}
    async with (
        serving(settings.server, drain=drain, services=services, dependencies=dependencies),
        asyncio.TaskGroup() as group,
    ):
        recovering = group.create_task(triton.recover(), name="recovery")
        await drain.wait()
        recovering.cancel()
    for backend in backends.values():
        await backend.close()


if __name__ == "__main__":
    run("inference", main, InferenceSettings)
