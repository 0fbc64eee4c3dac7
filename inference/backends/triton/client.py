"""Calls of one Triton, on the raw stub.

tritonclient's own asyncio client is not used: it hides the end of streams, turns errors of the request into bare
cancellations and loses the ids and codes of errors (triton-inference-server/client, 2.73).
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from troupe.core.channels import open_channel
from troupe.inference.backends.triton.errors import from_status, from_words
from troupe.inference.backends.triton.tensors import is_final

_READY_TIMEOUT_SECONDS: Final = 2.0
_RELOAD_TIMEOUT_SECONDS: Final = 600.0


class TritonClient:
    """One connection, kept and renewed by gRPC. Retries are the callers': they know what may be done twice."""

    def __init__(self, url: str, *, setting: str) -> None:
        """`url` is `host:port` of Triton's gRPC endpoint, `setting` the one that says so."""
        self.url = url
        self._setting = setting
        self._channel = open_channel(url, retries=False)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def infer(self, request: Any, *, timeout_seconds: float | None) -> Any:
        """One request, one response; raises `TroupeError`."""
        try:
            return await self._stub.ModelInfer(request, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise from_status(error, model=request.model_name, url=self.url, setting=self._setting) from None

    async def stream(self, request: Any, *, timeout_seconds: float | None) -> AsyncGenerator[Any, None]:
        """The responses of a decoupled model; closing the iterator stops the model. Raises `TroupeError`.

        A stream of its own for each request: Triton cancels all requests of a stream together, and 2.51 crashes when
        one of several fails.
        """
        call = self._stub.ModelStreamInfer(timeout=timeout_seconds)
        try:
            await call.write(request)
            await call.done_writing()
            async for message in call:
                if message.error_message:
                    raise from_words(message.error_message, model=request.model_name)
                yield message.infer_response
                if is_final(message.infer_response):
                    return
        except grpc.aio.AioRpcError as error:
            raise from_status(error, model=request.model_name, url=self.url, setting=self._setting) from None
        finally:
            call.cancel()  # leaving the loop above does not

    async def model_ready(self, model: str) -> bool:
        """Whether the model can be called now; raises `TroupeError` when Triton does not answer."""
        try:
            reply = await self._stub.ModelReady(
                service_pb2.ModelReadyRequest(name=model), timeout=_READY_TIMEOUT_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise from_status(error, model=model, url=self.url, setting=self._setting) from None
        return bool(reply.ready)

    async def parameters(self, model: str) -> Mapping[str, str]:
        """The parameters in the model's `config.pbtxt`; raises `TroupeError`."""
        try:
            reply = await self._stub.ModelConfig(
                service_pb2.ModelConfigRequest(name=model), timeout=_READY_TIMEOUT_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise from_status(error, model=model, url=self.url, setting=self._setting) from None
        return {name: value.string_value for name, value in reply.config.parameters.items()}

    async def reload(self, model: str) -> None:
        """Unloads a model and loads it again; raises `TroupeError`, also where Triton does not let clients do so."""
        try:
            await self._stub.RepositoryModelUnload(
                service_pb2.RepositoryModelUnloadRequest(model_name=model), timeout=_RELOAD_TIMEOUT_SECONDS
            )
            await self._stub.RepositoryModelLoad(
                service_pb2.RepositoryModelLoadRequest(model_name=model), timeout=_RELOAD_TIMEOUT_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise from_status(error, model=model, url=self.url, setting=self._setting) from None

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()
