"""The port of a tool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from troupe.api.agent.v1.agent_service_pb2 import ExecuteRequest
from troupe.api.common.v1.content_pb2 import Passage
from troupe.api.inference.v1.inference_service_pb2 import ToolDefinition


@dataclass(frozen=True, slots=True)
class ToolScope:
    """For whom a tool is called: what it may touch follows from this, never from its arguments."""

    project: str
    memory_filter: Mapping[str, str]
    idempotency_key: str

    @classmethod
    def of(cls, step: ExecuteRequest) -> "ToolScope":
        """The scope of a step."""
        return cls(step.project, dict(step.memory_filter), step.idempotency_key)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came back: `text` for a model, `summary` in a line for people, `passages` for agents."""

    text: str
    summary: str
    passages: Sequence[Passage] = ()


class Tool(Protocol):
    """Something that agents may call."""

    @property
    def definition(self) -> ToolDefinition:
        """Its name, what it does and the JSON Schema of its arguments."""

    async def call(self, arguments: Mapping[str, object], scope: ToolScope) -> ToolResult:
        """Does it.

        Raises:
            TroupeError: INVALID_REQUEST for arguments that break the schema, or what the tool ran into.
        """
