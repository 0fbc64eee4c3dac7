"""Models that cost nothing, so that the agents and the memory work.

python -m tests.fuzz.requests.models HOST:PORT
"""

import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc.aio

from tests.support.agents import FakeModels
from troupe.api.inference.v1 import inference_service_pb2 as pb
from troupe.api.inference.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from troupe.core.server import Drain, ServerSettings, run, serving

SERVICE = "troupe.api.inference.v1.InferenceService"
Context = grpc.aio.ServicerContext[Any, Any]


class Models(InferenceServiceServicer):
    """Answers as if it were Triton behind the inference service."""

    def __init__(self) -> None:
        self._models = FakeModels()

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> AsyncIterator[pb.GenerateResponse]:
        self._models.requests.clear()
        async for response in self._models.generate(request, timeout_seconds=None):
            yield response

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        self._models.embedded.clear()
        return await self._models.embed(request, timeout_seconds=None)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        generator = await self._models.generator("", timeout_seconds=None)
        generator.default = True
        embedder = pb.Model(name="words", kind=pb.ModelKind.MODEL_KIND_EMBEDDER, default=True, dimensions=64)
        return pb.ListModelsResponse(models=[generator, embedder])


async def main(drain: Drain) -> None:
    """Serves until it is told to stop."""
    services = {SERVICE: partial(add_InferenceServiceServicer_to_server, Models())}
    async with serving(ServerSettings(listen=sys.argv[1]), drain=drain, services=services, dependencies={}):
        await drain.wait()


if __name__ == "__main__":
    run("models", main)
