"""What is sent to the store in tests against the model."""

from collections.abc import Sequence
from typing import Final

from tests.model.model import PlannedStep
from tests.support.modelled_tasks import Attempt, Submitted
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent, TaskPlanned, TaskSubmitted
from troupe.orchestrator.store.new_step import NewStep
from troupe.orchestrator.store.schema import TaskBase
from troupe.orchestrator.store.tasks import NewTask

HOUR_MS: Final = 3_600_000


def output_of(attempt: Attempt) -> bytes:
    """The output that an attempt records; no two attempts record the same."""
    return StepOutput(text="/".join(map(str, attempt))).SerializeToString()


def new_step(step: PlannedStep) -> NewStep:
    message = Step(
        step_id=step.step_id,
        agent=step.agent,
        title="a step",
        depends_on=step.depends_on,
        requires_approval=step.needs_approval,
    )
    return NewStep.of(message)


def new_task(task_id: str, new: Submitted, plan: Sequence[PlannedStep]) -> NewTask:
    events = (TaskEvent(task_submitted=TaskSubmitted()), TaskEvent(task_planned=TaskPlanned()))
    return NewTask(
        task_id=task_id,
        base=TaskBase(
            project=new.project,
            priority=new.priority,
            plan_us=1,
            timeout=HOUR_MS,
            retention=HOUR_MS,
            keep=10_000,
            max_tokens=new.budget.tokens,
            max_cost=new.budget.cost_usd_micros,
        ),
        request_id=new.request_id,
        request_ttl_ms=HOUR_MS,
        body_hash=repr(plan).encode(),
        spec=b"",
        plan=b"",
        steps=[new_step(step) for step in plan],
        events=[event.SerializeToString() for event in events],
    )
