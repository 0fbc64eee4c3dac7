"""What an agent may do while it executes a step."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass

from troupe.agents.runtime.metering import Generated, MeteredModels
from troupe.agents.runtime.tool_calls import ToolCaller, ToolOutcome
from troupe.api.agent.v1.agent_service_pb2 import ExecuteResponse, Progress, TextDelta
from troupe.api.inference.v1.inference_service_pb2 import Message, ToolCall, ToolDefinition

Emit = Callable[[ExecuteResponse], None]
"""Tells the caller of the step what happens. It never waits: what one step can say is bounded."""


@dataclass(frozen=True, slots=True)
class Completion:
    """All that a model said in one turn."""

    text: str
    tool_calls: Sequence[ToolCall]


class AgentContext:
    """One attempt's way to the world. What it costs is counted, what it does is told."""

    def __init__(self, *, emit: Emit, models: MeteredModels, tools: ToolCaller) -> None:
        self._emit = emit
        self._models = models
        self._tools = tools

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Tells people what is being done; `fraction` is how much is done, 0 to 1."""
        self._emit(ExecuteResponse(progress=Progress(message=message, fraction=fraction)))

    def text_delta(self, text: str) -> None:
        """Tells the next piece of the result's text."""
        if text:
            self._emit(ExecuteResponse(text_delta=TextDelta(text=text)))

    @property
    def tools(self) -> Sequence[ToolDefinition]:
        """The tools that the agent may call."""
        return self._tools.definitions

    async def call_tool(self, name: str, arguments: Mapping[str, object]) -> ToolOutcome:
        """Calls a tool; its error is part of the outcome."""
        return await self._tools.call(name, arguments)

    async def is_extractive(self) -> bool:
        """Whether the step's model only quotes what it is given, and writes nothing of its own."""
        return await self._models.is_extractive()

    def generate(
        self, messages: Sequence[Message], *, max_output_tokens: int, tools: Sequence[ToolDefinition] = ()
    ) -> AsyncGenerator[Generated, None]:
        """Streams what the step's model says. Closing it stops the model.

        Raises:
            TroupeError: BUDGET_EXCEEDED before the call, or a reason of InferenceService.
        """
        return self._models.generate(messages, max_output_tokens=max_output_tokens, tools=tools)

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, tools: Sequence[ToolDefinition] = ()
    ) -> Completion:
        """All that the step's model says."""
        texts: list[str] = []
        calls: list[ToolCall] = []
        async for part in self.generate(messages, max_output_tokens=max_output_tokens, tools=tools):
            if isinstance(part, str):
                texts.append(part)
            else:
                calls.append(part)
        return Completion("".join(texts), calls)

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Vectors of length 1, one a text, in order."""
        return await self._models.embed(texts)
