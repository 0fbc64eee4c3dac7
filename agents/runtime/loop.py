"""The loop of a model that calls tools: it asks, we call, it reads, until it answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from troupe.agents.runtime.context import AgentContext
from troupe.agents.runtime.tool_calls import ToolOutcome
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Message, Role, ToolCall
from troupe.core.errors import TroupeError

_MAX_CALLS_A_TURN: Final = 8
_LAST_TURN: Final = "No tool may be called any more. Answer now from what you have."


@dataclass(frozen=True, slots=True)
class LoopResult:
    """The model's last text, and what its tools came to, in the order of the calls."""

    text: str
    outcomes: Sequence[ToolOutcome]


async def run_loop(
    context: AgentContext, *, system: str, prompt: str, max_iterations: int, max_output_tokens: int
) -> LoopResult:
    """Runs the loop with the tools that the agent may call; the last turn has none.

    Raises:
        TroupeError: BUDGET_EXCEEDED, or a reason of InferenceService; errors of tools go back to the model instead.
    """
    messages = [Message(role=Role.ROLE_SYSTEM, text=system), Message(role=Role.ROLE_USER, text=prompt)]
    outcomes: list[ToolOutcome] = []
    text = ""
    for turn in range(1, max_iterations + 1):
        last = turn == max_iterations
        if last and turn > 1:
            messages.append(Message(role=Role.ROLE_USER, text=_LAST_TURN))
        offered = () if last else context.tools
        said = await context.complete(messages, max_output_tokens=max_output_tokens, tools=offered)
        text = said.text or text
        if last or not said.tool_calls:
            break
        answers = await _call_all(context, said.tool_calls)
        outcomes.extend(answers)
        messages.append(Message(role=Role.ROLE_ASSISTANT, text=said.text, tool_calls=said.tool_calls))
        messages.extend(
            Message(role=Role.ROLE_TOOL, text=outcome.for_model, tool_call_id=call.call_id)
            for call, outcome in zip(said.tool_calls, answers, strict=True)
        )
    return LoopResult(text, outcomes)


async def _call_all(context: AgentContext, calls: Sequence[ToolCall]) -> list[ToolOutcome]:
    """Calls the tools of one turn at the same time; those over the limit are refused."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(context.call_tool(c.name, dict(c.arguments))) for c in calls[:_MAX_CALLS_A_TURN]]
    refused = TroupeError(
        ErrorReason.ERROR_REASON_QUOTA_EXCEEDED, f"at most {_MAX_CALLS_A_TURN} tools are called in a turn; ask again"
    )
    return [task.result() for task in tasks] + [ToolOutcome(c.name, error=refused) for c in calls[_MAX_CALLS_A_TURN:]]
