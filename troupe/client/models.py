"""The models of a deployment, at the inference service itself."""

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

import grpc.aio

from troupe.api.inference.v1.inference_service_pb2 import GenerateRequest, GenerateResponse
from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from troupe.client.errors import from_call
from troupe.client.settings import ClientSettings
from troupe.core.channels import open_channel


class Models:
    """Talks to one inference service. Use it as an async context manager."""

    def __init__(self, address: str | None = None, *, settings: ClientSettings | None = None) -> None:
        """`address` wins over the settings; the settings are read from the environment unless given."""
        self._settings = settings or ClientSettings.load()
        self.address = address or self._settings.inference_address

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self.address, max_message_bytes=self._settings.max_message_bytes, retries=False)
        self._stub = InferenceServiceStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def generate(
        self, request: GenerateRequest, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[GenerateResponse]:
        """The answer as it comes, `finish` last. Closing the generator stops the model.

        Raises:
            TroupeError: see `InferenceService.Generate`.
        """
        call = self._stub.Generate(request, timeout=timeout_seconds)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise from_call(error, self.address, server="inference service") from None
        finally:
            call.cancel()
