"""Tool calls of one attempt: permitted, told, timed; errors are given back."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from troupe.agents.runtime.failures import told
from troupe.agents.tools.tool import Tool, ToolResult, ToolScope
from troupe.api.agent.v1.agent_service_pb2 import ExecuteResponse, ToolFinished, ToolStarted
from troupe.api.inference.v1.inference_service_pb2 import ToolDefinition
from troupe.core.errors import TroupeError, invalid


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a call came to: a result or an error."""

    tool: str
    result: ToolResult | None = None
    error: TroupeError | None = None

    @property
    def for_model(self) -> str:
        """What the model is told."""
        return self.result.text if self.result is not None else f"Error: {self.error}"

    def unwrap(self) -> ToolResult:
        """The result; raises the error."""
        if self.result is None:
            assert self.error is not None
            raise self.error
        return self.result


class ToolCaller:
    """Calls the tools that an agent may call."""

    def __init__(self, *, tools: Mapping[str, Tool], scope: ToolScope, emit: Callable[[ExecuteResponse], None]) -> None:
        self._tools = tools
        self._scope = scope
        self._emit = emit
        self._numbers = itertools.count(1)

    @property
    def definitions(self) -> Sequence[ToolDefinition]:
        """The tools, as models are told of them."""
        return [tool.definition for tool in self._tools.values()]

    async def call(self, name: str, arguments: Mapping[str, object]) -> ToolOutcome:
        """Calls a tool, with events around it."""
        call_id = f"call-{next(self._numbers)}"
        self._emit(ExecuteResponse(tool_started=ToolStarted(call_id=call_id, tool=name, arguments=_struct(arguments))))
        began = time.perf_counter_ns()
        outcome = await self._outcome(name, arguments)
        finished = ToolFinished(call_id=call_id, tool=name, summary=outcome.result.summary if outcome.result else "")
        finished.duration.CopyFrom(_elapsed(began))
        if outcome.error is not None:
            finished.error.CopyFrom(outcome.error.to_proto())
        self._emit(ExecuteResponse(tool_finished=finished))
        return outcome

    async def _outcome(self, name: str, arguments: Mapping[str, object]) -> ToolOutcome:
        tool = self._tools.get(name)
        if tool is None:
            offered = ", ".join(f"`{known}`" for known in self._tools) or "none"
            return ToolOutcome(name, error=invalid("tool", f"{name!r} may not be called; permitted: {offered}"))
        try:
            return ToolOutcome(name, result=await tool.call(arguments, self._scope))
        except Exception as error:  # noqa: BLE001 - the edge of the tool: its failure is an answer, not an end
            return ToolOutcome(name, error=told(error, f"tool `{name}`"))


def _struct(arguments: Mapping[str, object]) -> Struct:
    struct = Struct()
    ParseDict(dict(arguments), struct)
    return struct


def _elapsed(began_ns: int) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(time.perf_counter_ns() - began_ns)
    return duration
