"""The methods that are known by their descriptors: what they take and give, and how many of it.

Calls of unknown methods are forwarded too, where no byte of a message has to be understood.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodOptions
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from troupe import api
from troupe.core.server import StartupError

OWN_SERVICES: Final = b"/troupe.api."
_IDEMPOTENCY: Final = MethodOptions.NO_SIDE_EFFECTS


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method of a service."""

    path: bytes
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool
    no_side_effects: bool
    pool: DescriptorPool
    """Knows what stands in an `Any`."""

    @property
    def own(self) -> bool:
        """Whether it is Troupe's."""
        return self.path.startswith(OWN_SERVICES)


class Methods:
    """Methods by their paths, such as `/package.Service/Method`."""

    def __init__(self, methods: Iterable[Method]) -> None:
        self._by_path = {method.path: method for method in methods}

    @classmethod
    def load(cls, descriptor_sets: Sequence[Path] = ()) -> "Methods":
        """Troupe's own methods and those of files that hold a `google.protobuf.FileDescriptorSet`.

        Raises:
            StartupError: a file cannot be read.
        """
        own = descriptor_pool.Default()
        services = [
            service
            for module in _service_modules()
            for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values()
        ]
        methods = list(_methods_of((*services, *health_pb2.DESCRIPTOR.services_by_name.values()), own))
        for path in descriptor_sets:
            pool, theirs = _read(path)
            methods += _methods_of(theirs, pool)
        return cls(methods)

    def find(self, path: bytes) -> Method | None:
        """The method at a path, where it is known."""
        return self._by_path.get(path)

    def takes_stream(self, target: bytes) -> bool:
        """Whether a request to this target is known to bring a stream of messages."""
        method = self.find(target.partition(b"?")[0])
        return method is not None and method.client_streaming


def _service_modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(api.__path__, f"{api.__name__}."):
        if module.name.endswith("_service_pb2"):
            yield module.name


def _methods_of(services: Iterable[ServiceDescriptor], pool: DescriptorPool) -> Iterator[Method]:
    for service in services:
        for method in service.methods:
            yield Method(
                path=f"/{service.full_name}/{method.name}".encode(),
                request=message_factory.GetMessageClass(method.input_type),
                response=message_factory.GetMessageClass(method.output_type),
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
                no_side_effects=_has_no_side_effects(method),
                pool=pool,
            )


def _has_no_side_effects(method: MethodDescriptor) -> bool:
    options: MethodOptions = method.GetOptions()
    return options.idempotency_level == _IDEMPOTENCY


def _read(path: Path) -> tuple[DescriptorPool, list[ServiceDescriptor]]:
    try:
        files = FileDescriptorSet.FromString(path.read_bytes()).file
        pool = DescriptorPool()
        for file in files:
            pool.Add(file)
        return pool, [service for file in files for service in pool.FindFileByName(file.name).services_by_name.values()]
    except (OSError, DecodeError, KeyError, TypeError) as error:
        raise StartupError(
            f"TROUPE_GATEWAY__DESCRIPTORS names {str(path)!r}, which cannot be read as descriptors ({error}); "
            "make it with `buf build -o FILE` or `protoc --include_imports --descriptor_set_out=FILE`"
        ) from None
