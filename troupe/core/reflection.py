"""Reflection: clients that were given no contracts, such as `grpcurl`, ask the server for them.

https://grpc.io/docs/guides/reflection/
"""

from collections.abc import Sequence
from typing import Any, Final

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

# The messages of both versions are the same on the wire; clients ask for the newer one first.
REFLECTION_SERVICES: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def add_reflection(server: grpc.aio.Server, *, services: Sequence[str]) -> None:
    """Describes these services, and itself in the version that has descriptors here."""
    servicer: Any = reflection.aio.ReflectionServicer((*services, reflection.SERVICE_NAME))
    handler: Any = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = [
        grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}) for name in REFLECTION_SERVICES
    ]
    server.add_generic_rpc_handlers(tuple(handlers))
