"""What agents may not say: values that decode, and that nobody behind the worker could read or count."""

import math
from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value

from orchestrator.execution.failures import garbage
from troupe.api.agent.v1.agent_service_pb2 import ExecuteResponse
from troupe.api.common.v1.content_pb2 import StepOutput

# The longest google.protobuf.Duration.
_LONGEST_SECONDS = 315_576_000_000
_NANOS = 1_000_000_000


def check_output(output: StepOutput) -> None:
    """Raises AGENT_FAILED for numbers that JSON has no form of."""
    if not all(math.isfinite(passage.score) for passage in output.passages):
        raise garbage("a passage whose score is no finite number")
    if not all(math.isfinite(finding.relevance) for finding in output.findings):
        raise garbage("a finding whose relevance is no finite number")


def check_event(response: ExecuteResponse) -> None:
    """Raises AGENT_FAILED for numbers and times that have no form in JSON."""
    match response.WhichOneof("event"):
        case "progress" if not math.isfinite(response.progress.fraction):
            raise garbage("a progress whose fraction is no finite number")
        case "tool_started" if not all(map(math.isfinite, _numbers(response.tool_started.arguments))):
            raise garbage("arguments of a tool with a number that is not finite")
        case "tool_finished":
            end = response.tool_finished
            if not _is_duration(end.duration) or not _is_duration(end.error.retry_delay):
                raise garbage("a time of a tool that is no duration")


def _is_duration(duration: Duration) -> bool:
    seconds, nanos = duration.seconds, duration.nanos
    return abs(seconds) <= _LONGEST_SECONDS and abs(nanos) < _NANOS and seconds * nanos >= 0


def _numbers(struct: Struct) -> Iterator[float]:
    """All numbers in it. Without recursion: it may be nested as deep as protobuf takes it."""
    waiting: list[Value] = list(struct.fields.values())
    while waiting:
        value = waiting.pop()
        match value.WhichOneof("kind"):
            case "number_value":
                yield value.number_value
            case "struct_value":
                waiting.extend(value.struct_value.fields.values())
            case "list_value":
                waiting.extend(value.list_value.values)
