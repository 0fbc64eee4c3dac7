"""What an agent says, as events of the task's history. Sequence and time are added by the store."""

from collections.abc import Sequence
from typing import Any, Final

from troupe.api.agent.v1.agent_service_pb2 import ExecuteResponse
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.api.orchestrator.v1.event_pb2 import (
    StepProgress,
    TaskEvent,
    TextDelta,
    ToolFinished,
    ToolStarted,
    UsageReported,
)
from troupe.orchestrator.store.attempts import Attempt

_MOST: Final = 10**12


def said(attempt: Attempt, response: ExecuteResponse) -> TaskEvent:
    """The agent said something that does not end the attempt."""
    event = TaskEvent(task_id=attempt.task_id)
    ids: Any = {"step_id": attempt.step_id, "attempt": attempt.number}
    match response.WhichOneof("event"):
        case "progress":
            said = response.progress
            fraction = said.fraction if said.HasField("fraction") else None
            event.step_progress.CopyFrom(StepProgress(**ids, message=said.message, fraction=fraction))
        case "text_delta":
            event.text_delta.CopyFrom(TextDelta(**ids, text=response.text_delta.text))
        case "tool_started":
            call = response.tool_started
            event.tool_started.CopyFrom(
                ToolStarted(**ids, call_id=call.call_id, tool=call.tool, arguments=call.arguments)
            )
        case "tool_finished":
            end = response.tool_finished
            event.tool_finished.CopyFrom(
                ToolFinished(**ids, call_id=end.call_id, tool=end.tool, summary=end.summary, duration=end.duration)
            )
            if end.HasField("error"):
                event.tool_finished.error.CopyFrom(end.error)
        case "usage":
            event.usage_reported.CopyFrom(UsageReported(**ids, usage=_believable(response.usage)))
    return event


def _believable(usage: Usage) -> Usage:
    """The usage with counts that can be added up: none below zero, none beyond what a deployment could use."""
    counts = [max(0, min(count, _MOST)) for count in usage_counts(usage)]
    return Usage(
        input_tokens=counts[0],
        output_tokens=counts[1],
        cost_usd_micros=counts[2],
        model_calls=counts[3],
        model=usage.model,
    )


def usage_counts(usage: Usage) -> Sequence[int]:
    """Input tokens, output tokens, cost in micro-USD, model calls."""
    return usage.input_tokens, usage.output_tokens, usage.cost_usd_micros, usage.model_calls
