"""Forwards methods of services that run elsewhere, so that clients need one address."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1 import inference_service_pb2
from troupe.api.memory.v1 import memory_service_pb2
from troupe.core.errors import TroupeError
from troupe.core.interceptors.context import REQUEST_ID_METADATA

Context = grpc.aio.ServicerContext[Any, Any]

_MEMORY: Final = memory_service_pb2.DESCRIPTOR.services_by_name["MemoryService"]
_INFERENCE: Final = inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"]


@dataclass(frozen=True, slots=True)
class Door:
    """A service of which some methods are forwarded."""

    service: ServiceDescriptor
    methods: Collection[str]
    unavailable: "ErrorReason.ValueType"
    """The reason when the service cannot be reached."""

    def register(self, server: grpc.aio.Server, channel: grpc.aio.Channel) -> None:
        """Adds the methods; messages pass through as bytes, errors with all their details."""
        forwarded = [method for method in self.service.methods if method.name in self.methods]
        handlers = {method.name: self._forward(channel, method) for method in forwarded}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(self.service.full_name, handlers),))

    def _forward(self, channel: grpc.aio.Channel, method: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
        path = f"/{self.service.full_name}/{method.name}"
        if method.server_streaming:
            stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)

            async def forward_stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
                call = stream(request, timeout=context.time_remaining(), metadata=_metadata(context))
                try:
                    async for response in call:
                        yield response
                except grpc.aio.AioRpcError as error:
                    raise self._explained(error) from None
                finally:
                    call.cancel()

            return grpc.unary_stream_rpc_method_handler(forward_stream)
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)

        async def forward_unary(request: bytes, context: Context) -> bytes:
            try:
                answer: bytes = await unary(request, timeout=context.time_remaining(), metadata=_metadata(context))
            except grpc.aio.AioRpcError as error:
                raise self._explained(error) from None
            return answer

        return grpc.unary_unary_rpc_method_handler(forward_unary)

    def _explained(self, error: grpc.aio.AioRpcError) -> TroupeError:
        return TroupeError.from_rpc(error, unavailable=self.unavailable)


MEMORY_DOOR: Final = Door(
    _MEMORY, [method.name for method in _MEMORY.methods], ErrorReason.ERROR_REASON_MEMORY_UNAVAILABLE
)
# What costs money stays inside: who calls is not checked here.
MODELS_DOOR: Final = Door(_INFERENCE, ["ListModels"], ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE)


def _metadata(context: Context) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((key, value) for key, value in context.invocation_metadata() or () if key == REQUEST_ID_METADATA)
