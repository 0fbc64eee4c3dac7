"""The suite's messages and service, made from its own .proto files when they are needed."""

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

PACKAGE = "connectrpc.conformance.v1"
SERVICE = f"{PACKAGE}.ConformanceService"


class Contract:
    """What a file with a `FileDescriptorSet` describes. The messages have no types that a checker could know."""

    def __init__(self, descriptors: Path) -> None:
        self.descriptors = descriptors
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
            self._pool.Add(file)
        self.message = cache(self._message)

    @property
    def service(self) -> ServiceDescriptor:
        """The service that a server under test provides."""
        return self._pool.FindServiceByName(SERVICE)

    def _message(self, name: str) -> Any:
        """The class of a message, by its name inside the package."""
        found: type[Message] = message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        return found
