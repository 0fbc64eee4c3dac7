"""The port to models."""

from collections.abc import AsyncGenerator
from typing import Protocol

from troupe.api.inference.v1.inference_service_pb2 import (
    EmbedRequest,
    EmbedResponse,
    GenerateRequest,
    GenerateResponse,
    Model,
)


class Models(Protocol):
    """Reaches models. Everything raises `TroupeError` with the reasons of InferenceService.

    `timeout_seconds` is what is left to the caller; None without end.
    """

    async def generator(self, name: str, *, timeout_seconds: float | None) -> Model:
        """The generator of this name; the deployment's default without one."""

    def generate(
        self, request: GenerateRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[GenerateResponse, None]:
        """Streams an answer. Closing the iterator stops the model."""

    async def embed(self, request: EmbedRequest, *, timeout_seconds: float | None) -> EmbedResponse:
        """Vectors of texts."""
