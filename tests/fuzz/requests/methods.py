"""The methods of the contracts, by the doors at which they can be called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from troupe.api.agent.v1 import agent_service_pb2
from troupe.api.inference.v1 import inference_service_pb2
from troupe.api.memory.v1 import memory_service_pb2
from troupe.api.orchestrator.v1 import orchestrator_service_pb2


@dataclass(frozen=True, slots=True)
class Called:
    """A method."""

    path: str
    request: type[Message]
    client_streaming: bool
    server_streaming: bool

    @property
    def own(self) -> bool:
        """Whether its errors carry Troupe's details."""
        return self.path.startswith("/troupe.api.")


def _methods(service: ServiceDescriptor) -> Sequence[Called]:
    found = []
    for method in service.methods:
        each: Any = method
        request: Any = message_factory.GetMessageClass(each.input_type)
        found.append(Called(f"/{service.full_name}/{each.name}", request, each.client_streaming, each.server_streaming))
    return found


TASKS: Final = _methods(orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"])
MEMORY: Final = _methods(memory_service_pb2.DESCRIPTOR.services_by_name["MemoryService"])
MODELS: Final = _methods(inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"])
AGENTS: Final = _methods(agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"])
HEALTH: Final = _methods(health_pb2.DESCRIPTOR.services_by_name["Health"])
REFLECTION: Final = _methods(reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"])
