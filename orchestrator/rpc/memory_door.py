"""Forwards the memory's methods to its own process, so that clients need one address."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.memory.v1 import memory_service_pb2
from troupe.core.errors import TroupeError
from troupe.core.interceptors.context import REQUEST_ID_METADATA

MEMORY_SERVICE = memory_service_pb2.DESCRIPTOR.services_by_name["MemoryService"]


def register_memory_door(server: grpc.aio.Server, channel: grpc.aio.Channel) -> None:
    """Adds every method of `MemoryService`; messages pass through as bytes, errors with all their details."""
    handlers = {method.name: _forward(channel, method) for method in MEMORY_SERVICE.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(MEMORY_SERVICE.full_name, handlers),))


def _forward(channel: grpc.aio.Channel, method: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
    path = f"/{MEMORY_SERVICE.full_name}/{method.name}"
    if method.server_streaming:
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)

        async def forward_stream(request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> AsyncIterator[bytes]:
            call = stream(request, timeout=context.time_remaining(), metadata=_metadata(context))
            try:
                async for response in call:
                    yield response
            except grpc.aio.AioRpcError as error:
                raise _explained(error) from None
            finally:
                call.cancel()

        return grpc.unary_stream_rpc_method_handler(forward_stream)
    unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)

    async def forward_unary(request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
        try:
            answer: bytes = await unary(request, timeout=context.time_remaining(), metadata=_metadata(context))
        except grpc.aio.AioRpcError as error:
            raise _explained(error) from None
        return answer

    return grpc.unary_unary_rpc_method_handler(forward_unary)


def _metadata(context: "grpc.aio.ServicerContext[Any, Any]") -> tuple[tuple[str, str | bytes], ...]:
    return tuple((key, value) for key, value in context.invocation_metadata() or () if key == REQUEST_ID_METADATA)


def _explained(error: grpc.aio.AioRpcError) -> TroupeError:
    return TroupeError.from_rpc(error, unavailable=ErrorReason.ERROR_REASON_MEMORY_UNAVAILABLE)
