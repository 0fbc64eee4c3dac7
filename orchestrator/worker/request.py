"""What an agent is sent."""

from collections.abc import Iterator, Sequence

from troupe.api.agent.v1.agent_service_pb2 import DependencyOutput, ExecuteRequest, RemainingBudget
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.orchestrator.store.attempts import Assignment


def execute_request(assignment: Assignment, step: Step) -> ExecuteRequest:
    """The request of an attempt."""
    attempt, spec = assignment.attempt, TaskSpec.FromString(assignment.spec)
    request = ExecuteRequest(
        task_id=attempt.task_id,
        step_id=attempt.step_id,
        agent=attempt.agent,
        attempt=attempt.number,
        idempotency_key=f"{attempt.task_id}/{attempt.step_id}",
        project=assignment.project,
        title=step.title,
        instruction=step.instruction,
        task_input=spec.input,
        model=spec.model,
        conversation_id=spec.conversation_id,
        memory_filter=spec.memory_filter,
        dependencies=_outputs(assignment.dependencies, under=""),
        delegated=_outputs(assignment.delegated, under=f"{attempt.step_id}."),
    )
    if assignment.tokens_left or assignment.cost_left_usd_micros:
        budget = RemainingBudget(tokens=assignment.tokens_left, cost_usd_micros=assignment.cost_left_usd_micros)
        request.budget.CopyFrom(budget)
    return request


def _outputs(pairs: Sequence[tuple[bytes, bytes]], *, under: str) -> Iterator[DependencyOutput]:
    for encoded_step, encoded_output in pairs:
        step = Step.FromString(encoded_step)
        output = StepOutput.FromString(encoded_output)
        step_id = step.step_id.removeprefix(under)
        yield DependencyOutput(step_id=step_id, agent=step.agent, title=step.title, output=output)
