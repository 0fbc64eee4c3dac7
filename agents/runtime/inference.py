"""Models behind InferenceService."""

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import (
    EmbedRequest,
    EmbedResponse,
    GenerateRequest,
    GenerateResponse,
    ListModelsRequest,
    Model,
    ModelKind,
)
from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from troupe.core.errors import TroupeError

# What a model is changes only when inference is started anew, and asking makes it look after every backend.
_KNOWN_SECONDS: Final = 30.0


class InferenceModels:
    """Calls InferenceService."""

    def __init__(self, *, channel: grpc.aio.Channel) -> None:
        self._stub = InferenceServiceStub(channel)
        self._known: Sequence[Model] = ()
        self._known_until = 0.0

    async def generator(self, name: str, *, timeout_seconds: float | None) -> Model:
        models = [m for m in await self._models(timeout_seconds) if m.kind == ModelKind.MODEL_KIND_GENERATOR]
        for model in models:
            if model.name == name or (model.default and not name):
                return model
        offered = ", ".join(f"`{model.name}`" for model in models) or "none"
        problem = f"no generator is named {name!r}" if name else "inference has no default generator"
        raise TroupeError(ErrorReason.ERROR_REASON_MODEL_NOT_FOUND, f"{problem}; offered: {offered}")

    async def generate(
        self, request: GenerateRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[GenerateResponse, None]:
        call = self._stub.Generate(request, timeout=timeout_seconds)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise _explain(error) from None
        finally:
            call.cancel()

    async def embed(self, request: EmbedRequest, *, timeout_seconds: float | None) -> EmbedResponse:
        try:
            reply: EmbedResponse = await self._stub.Embed(request, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise _explain(error) from None
        return reply

    async def _models(self, timeout_seconds: float | None) -> Sequence[Model]:
        if time.monotonic() >= self._known_until:
            try:
                reply = await self._stub.ListModels(ListModelsRequest(), timeout=timeout_seconds)
            except grpc.aio.AioRpcError as error:
                raise _explain(error) from None
            self._known, self._known_until = list(reply.models), time.monotonic() + _KNOWN_SECONDS
        return self._known


def _explain(error: grpc.aio.AioRpcError) -> TroupeError:
    return TroupeError.from_rpc(error, unavailable=ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE)
