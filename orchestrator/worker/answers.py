"""What agents may not say: values that decode, and that nobody behind the worker could read or count."""

import math

from troupe.api.agent.v1.agent_service_pb2 import ExecuteResponse
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.core.unwritable import unwritable
from troupe.orchestrator.execution.failures import garbage


def check_output(output: StepOutput) -> None:
    """Raises AGENT_FAILED for numbers that JSON has no form of."""
    if not all(math.isfinite(passage.score) for passage in output.passages):
        raise garbage("a passage whose score is no finite number")
    if not all(math.isfinite(finding.relevance) for finding in output.findings):
        raise garbage("a finding whose relevance is no finite number")


def check_event(response: ExecuteResponse) -> None:
    """Raises AGENT_FAILED for numbers, times and arguments that have no form in JSON."""
    if response.HasField("progress") and not math.isfinite(response.progress.fraction):
        raise garbage("a progress whose fraction is no finite number")
    if violations := unwritable(response):
        first = violations[0]
        raise garbage(f"`{first.field}` that {first.description}")
