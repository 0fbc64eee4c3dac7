"""Steps that wait for a person."""

import subprocess
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.support.engine import Engine, healthy, history, kinds, spec, submit
from tests.support.scenarios import (
    asked,
    completed,
    gap_free,
    get_task,
    in_state,
    refusal,
    requests_of,
    resolve,
    retry,
    started,
    states,
)
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import APPROVAL_DECISION_APPROVE, APPROVAL_DECISION_REJECT
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec, TaskState

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


def _guarded(agent: str = "noop") -> TaskSpec:
    """A step, one behind it that a person must approve, and one behind that."""
    task = spec(("a", "noop", "x", []), ("g", agent, "pay 10 crowns", ["a"]), ("z", "noop", "x", ["g"]))
    task.plan.steps[1].requires_approval = True
    return task


async def _waiting(stub: "Stub", task: TaskSpec, step_id: str = "g") -> str:
    task_id = await submit(stub, task)
    await in_state(stub, task_id, step_id, "awaiting_approval")
    return task_id


async def test_a_step_waits_for_a_person_and_goes_on(stub: "Stub", agents: ScriptedAgents) -> None:
    task = _guarded()
    task.plan.steps[1].title = "Pay the bill"
    task_id = await _waiting(stub, task)
    assert await states(stub, task_id) == {"a": "completed", "g": "awaiting_approval", "z": "pending"}
    assert not requests_of(agents, task_id, "g")

    await resolve(stub, task_id, "g", approve=True, comment="it is due", by="ada@example.org")
    events = await history(stub, task_id)
    assert gap_free(events)
    (requested,) = (event for event in events if event.HasField("approval_requested"))
    assert (requested.approval_requested.step_id, requested.approval_requested.summary) == ("g", "Pay the bill")
    (resolved,) = (event for event in events if event.HasField("approval_resolved"))
    decision = resolved.approval_resolved
    assert (decision.step_id, decision.decision) == ("g", APPROVAL_DECISION_APPROVE)
    assert (decision.comment, decision.decided_by) == ("it is due", "ada@example.org")
    assert resolved.event_time.ToNanoseconds() >= requested.event_time.ToNanoseconds() > 0
    assert completed(events) == {"a": "a()", "g": "g(a())", "z": "z(g(a()))"}


async def test_what_is_asked_is_the_instruction_when_there_is_no_title(stub: "Stub") -> None:
    task_id = await _waiting(stub, _guarded())
    await resolve(stub, task_id, "g", approve=True)
    (requested,) = (e.approval_requested for e in await history(stub, task_id) if e.HasField("approval_requested"))
    assert requested.summary == "pay 10 crowns"


async def test_a_rejected_step_fails_its_task(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await _waiting(stub, _guarded())
    reply = await resolve(stub, task_id, "g", approve=False, comment="too much", by="ada")
    assert reply.state == TaskState.TASK_STATE_FAILED
    events = await history(stub, task_id)
    assert kinds(events)[-2:] == ["approval_resolved", "task_failed"]
    assert events[-2].approval_resolved.decision == APPROVAL_DECISION_REJECT
    assert (events[-2].approval_resolved.comment, events[-2].approval_resolved.decided_by) == ("too much", "ada")
    failed = events[-1].task_failed
    assert failed.step_id == "g"
    assert failed.error.reason == ErrorReason.ERROR_REASON_APPROVAL_REJECTED
    assert failed.partial_output.text == "a()"
    assert await states(stub, task_id) == {"a": "completed", "g": "failed", "z": "skipped"}
    assert not requests_of(agents, task_id, "g")


@pytest.mark.parametrize("approve", [True, False])
async def test_the_first_decision_counts(stub: "Stub", approve: bool) -> None:
    task_id = await _waiting(stub, _guarded("hanging" if approve else "noop"))
    await resolve(stub, task_id, "g", approve=approve)
    again = await resolve(stub, task_id, "g", approve=approve, by="another")
    assert again.task_id == task_id, "the same decision twice is answered the same"

    error = await refusal(resolve(stub, task_id, "g", approve=not approve))
    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert error.reason == ErrorReason.ERROR_REASON_INVALID_TASK_STATE
    if approve:
        await stub.CancelTask(pb.CancelTaskRequest(task_id=task_id))
    assert kinds(await history(stub, task_id)).count("approval_resolved") == 1


async def test_only_steps_that_wait_can_be_decided(stub: "Stub") -> None:
    task_id = await _waiting(stub, _guarded())
    cases = [
        (task_id, "nothing", ErrorReason.ERROR_REASON_STEP_NOT_FOUND, grpc.StatusCode.NOT_FOUND),
        ("nothing", "g", ErrorReason.ERROR_REASON_TASK_NOT_FOUND, grpc.StatusCode.NOT_FOUND),
        (task_id, "a", ErrorReason.ERROR_REASON_INVALID_TASK_STATE, grpc.StatusCode.FAILED_PRECONDITION),
        (task_id, "z", ErrorReason.ERROR_REASON_INVALID_TASK_STATE, grpc.StatusCode.FAILED_PRECONDITION),
    ]
    for task, step, reason, code in cases:
        error = await refusal(resolve(stub, task, step, approve=True))
        assert (error.reason, error.code) == (reason, code)
    undecided = stub.ResolveApproval(pb.ResolveApprovalRequest(task_id=task_id, step_id="g"))
    assert (await refusal(undecided)).reason == ErrorReason.ERROR_REASON_INVALID_REQUEST
    assert await states(stub, task_id) == {"a": "completed", "g": "awaiting_approval", "z": "pending"}


@pytest.mark.parametrize("mode", [pb.CANCEL_MODE_IMMEDIATE, pb.CANCEL_MODE_AFTER_STEP])
async def test_a_task_that_waits_for_a_person_can_be_cancelled(stub: "Stub", mode: "pb.CancelMode.ValueType") -> None:
    task_id = await _waiting(stub, _guarded())
    await stub.CancelTask(pb.CancelTaskRequest(task_id=task_id, mode=mode))
    assert kinds(await history(stub, task_id))[-1] == "task_cancelled"
    error = await refusal(resolve(stub, task_id, "g", approve=True))
    assert error.reason == ErrorReason.ERROR_REASON_INVALID_TASK_STATE


async def test_the_deadline_holds_while_a_step_waits_for_a_person(stub: "Stub") -> None:
    task = _guarded()
    task.timeout.FromMilliseconds(500)
    events = await history(stub, await submit(stub, task))
    assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
    assert "approval_requested" in kinds(events)


async def test_a_retry_asks_again_what_was_rejected(stub: "Stub") -> None:
    task_id = await _waiting(stub, _guarded())
    await resolve(stub, task_id, "g", approve=False)
    await retry(stub, task_id)
    assert (await states(stub, task_id))["g"] == "awaiting_approval"
    await resolve(stub, task_id, "g", approve=True)
    events = await history(stub, task_id)
    decisions = [e.approval_resolved.decision for e in events if e.HasField("approval_resolved")]
    assert decisions == [APPROVAL_DECISION_REJECT, APPROVAL_DECISION_APPROVE]
    assert kinds(events).count("approval_requested") == 2
    assert events[-1].task_completed.output.text == "z(g(a()))"


async def test_what_was_approved_is_not_asked_again_when_it_fails(stub: "Stub") -> None:
    task = spec(("g", "flaky", "4", []))
    task.plan.steps[0].requires_approval = True
    task.plan.steps[0].retry_policy.max_attempts = 2
    task_id = await _waiting(stub, task)
    await resolve(stub, task_id, "g", approve=True)
    assert kinds(await history(stub, task_id))[-1] == "task_failed"
    await retry(stub, task_id)
    events = await history(stub, task_id)
    assert events[-1].task_completed.output.text == "attempt 4"
    assert kinds(events).count("approval_requested") == 1


async def test_a_first_step_and_several_at_once_can_wait(stub: "Stub") -> None:
    task = spec(("a", "noop", "x", []), ("b", "noop", "x", []), ("end", "noop", "x", ["a", "b"]))
    for step in task.plan.steps:
        step.requires_approval = True
    task_id = await _waiting(stub, task, "a")
    assert await states(stub, task_id) == {"a": "awaiting_approval", "b": "awaiting_approval", "end": "pending"}
    await resolve(stub, task_id, "b", approve=True)
    await resolve(stub, task_id, "a", approve=True)
    await in_state(stub, task_id, "end", "awaiting_approval")
    await resolve(stub, task_id, "end", approve=True)
    assert (await history(stub, task_id))[-1].task_completed.output.text == "end(a(),b())"


async def test_a_delegated_step_can_wait_for_a_person(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await _waiting(stub, spec(("d", "approver", "x", [])), "d.pay")
    assert await states(stub, task_id) == {"d.pay": "awaiting_approval", "d": "delegating"}
    await resolve(stub, task_id, "d.pay", approve=True)
    assert (await history(stub, task_id))[-1].task_completed.output.text == "pay=d.pay()"
    assert len(requests_of(agents, task_id, "d.pay")) == 1


async def test_waiting_survives_the_death_of_every_process(own: Engine, own_agents: ScriptedAgents) -> None:
    processes: list[subprocess.Popen[bytes]] = [own.start_orchestrator(), own.start_worker()]
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await _waiting(stub, _guarded())
        before = await get_task(stub, task_id)
        for process in processes:
            process.kill()
        own.redis.kill()
        own.redis.start()
        own.start_orchestrator()
        await healthy(own.address)
        assert await get_task(stub, task_id) == before
        await resolve(stub, task_id, "g", approve=True, by="ada")
        own.start_worker()
        events = await history(stub, task_id)
    assert kinds(events).count("approval_requested") == 1
    assert completed(events)["z"] == "z(g(a()))"


async def test_an_approved_step_whose_worker_dies_is_not_asked_again(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    doomed = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await _waiting(stub, _guarded("hanging"))
        await resolve(stub, task_id, "g", approve=True)
        await asked(own_agents, task_id, 2)
        doomed.kill()
        own.start_worker()
        await asked(own_agents, task_id, 3)
        own_agents.gates[task_id].set()
        events = await history(stub, task_id)
    assert started(events) == [("a", 1), ("g", 1), ("g", 2), ("z", 1)]
    assert kinds(events).count("approval_requested") == 1
    assert kinds(events)[-1] == "task_completed"
