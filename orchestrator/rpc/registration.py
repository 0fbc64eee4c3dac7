"""Registers a servicer whose streams send encoded messages.

Events are stored in the form in which they travel; a stream that decoded and encoded them again would spend most of
its time on that.
"""

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor


def register_with_encoded_streams(servicer: Any, service: ServiceDescriptor, server: grpc.aio.Server) -> None:
    """Adds every method of a service; unary ones answer with messages, streams with their bytes."""
    handlers = {method.name: _handler(getattr(servicer, method.name), method) for method in service.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _handler(behaviour: Callable[..., Any], method: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
    parse: Any = message_factory.GetMessageClass(method.input_type).FromString
    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(behaviour, request_deserializer=parse, response_serializer=None)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(behaviour, request_deserializer=parse, response_serializer=None)
    serialize: Any = message_factory.GetMessageClass(method.output_type).SerializeToString
    return grpc.unary_unary_rpc_method_handler(behaviour, request_deserializer=parse, response_serializer=serialize)
