"""What tests of tasks do again and again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from tests.support.processes import until
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.agent.v1.agent_service_pb2 import ExecuteRequest
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import APPROVAL_DECISION_APPROVE, APPROVAL_DECISION_REJECT, TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import StepState, Task
from troupe.core.errors import TroupeError

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


async def refusal(call: Awaitable[object]) -> TroupeError:
    """Why a call fails; it must."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return TroupeError.from_rpc(caught.value)


async def holds(condition: Callable[[], bool], *, timeout_seconds: float = 20) -> None:
    """Returns when a condition about this process holds."""

    async def look() -> bool:
        await asyncio.sleep(0)
        return condition()

    await until(look, timeout_seconds=timeout_seconds)


async def asked(agents: ScriptedAgents, task_id: str, count: int = 1) -> None:
    """Returns when the agents were asked so often for a task's steps."""
    await holds(lambda: len(agents.requests[task_id]) >= count)


def requests_of(agents: ScriptedAgents, task_id: str, step_id: str) -> Sequence[ExecuteRequest]:
    """The attempts of a step as the agents got them."""
    return [request for request in agents.requests[task_id] if request.step_id == step_id]


async def get_task(stub: "Stub", task_id: str) -> Task:
    """The task as it is now."""
    return (await stub.GetTask(pb.GetTaskRequest(task_id=task_id))).task


async def states(stub: "Stub", task_id: str) -> Mapping[str, str]:
    """Where the steps of a task stand, in the task's order."""
    return {step.step.step_id: state_name(step.state) for step in (await get_task(stub, task_id)).steps}


def state_name(state: "StepState.ValueType") -> str:
    """A short name, such as `completed`."""
    return StepState.Name(state).removeprefix("STEP_STATE_").lower()


async def in_state(stub: "Stub", task_id: str, step_id: str, state: str) -> None:
    """Returns when a step stands in a state."""

    async def reached() -> bool:
        return (await states(stub, task_id)).get(step_id) == state

    await until(reached)


async def resolve(stub: "Stub", task_id: str, step_id: str, *, approve: bool, comment: str = "", by: str = "") -> Task:
    """Decides about a step that waits for a person."""
    decision = APPROVAL_DECISION_APPROVE if approve else APPROVAL_DECISION_REJECT
    request = pb.ResolveApprovalRequest(
        task_id=task_id, step_id=step_id, decision=decision, comment=comment, decided_by=by
    )
    return (await stub.ResolveApproval(request)).task


async def retry(stub: "Stub", task_id: str, request_id: str = "") -> Task:
    """Takes up a failed task."""
    return (await stub.RetryTask(pb.RetryTaskRequest(task_id=task_id, request_id=request_id))).task


def started(events: Sequence[TaskEvent]) -> Sequence[tuple[str, int]]:
    """The attempts that started: step and number."""
    found = [event.step_started for event in events if event.HasField("step_started")]
    return [(start.step_id, start.attempt) for start in found]


def completed(events: Sequence[TaskEvent]) -> Mapping[str, str]:
    """What the steps produced, in the order in which they completed."""
    ends = [event.step_completed for event in events if event.HasField("step_completed")]
    assert len({end.step_id for end in ends}) == len(ends), "a step completes once"
    return {end.step_id: end.output.text for end in ends}


def gap_free(events: Sequence[TaskEvent]) -> bool:
    """Whether the events are a history from its first on."""
    return [event.sequence for event in events] == list(range(1, len(events) + 1))
