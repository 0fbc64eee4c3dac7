"""`python -m inference`: the inference service."""

from inference.backends.backend import Backend
from inference.backends.gemini.backend import GeminiBackend
from inference.backends.triton.backend import TritonBackend
from inference.backends.triton.client import TritonClient
from inference.catalog import Catalog
from inference.rpc.service import InferenceService
from inference.settings import InferenceSettings
from troupe.api.inference.v1.inference_service_pb2 import Backend as BackendKind
from troupe.api.inference.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server
from troupe.core.health import Check
from troupe.core.server import Drain, run, serving

SERVICE = "troupe.api.inference.v1.InferenceService"


async def main(drain: Drain) -> None:
    """Serves until the process is asked to stop."""
    settings = InferenceSettings.load()
    backends: dict[BackendKind.ValueType, Backend] = {}
    dependencies: dict[str, Check] = {}
    if settings.triton_models:
        triton = TritonBackend(client=TritonClient(settings.triton_url), models=settings.triton_models)
        backends[BackendKind.BACKEND_TRITON] = triton
        dependencies["triton"] = triton.check
    if settings.gemini_api_key is not None:
        backends[BackendKind.BACKEND_GEMINI] = GeminiBackend(
            api_key=settings.gemini_api_key, base_url=settings.gemini_base_url
        )
    service = InferenceService(catalog=Catalog(settings, backends=backends), limits=settings.limits)
    services = {SERVICE: lambda server: add_InferenceServiceServicer_to_server(service, server)}
    async with serving(settings.server, drain=drain, services=services, dependencies=dependencies):
        await drain.wait()
    for backend in backends.values():
        await backend.close()


if __name__ == "__main__":
    run("inference", main)
