"""Delegation: agents that have steps done by others."""

from typing import TYPE_CHECKING

import pytest

from tests.support.engine import Engine, healthy, history, kinds, spec, submit
from tests.support.scenarios import (
    asked,
    completed,
    gap_free,
    get_task,
    requests_of,
    retry,
    started,
    state_name,
    states,
)
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


def _delegating(*lines: str) -> TaskSpec:
    """A task whose only step delegates; see `ScriptedAgents.delegator`."""
    return spec(("d", "delegator", "\n".join(lines), []))


async def test_delegated_steps_run_in_order_and_their_outputs_come_back(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await submit(stub, _delegating("c:noop:x:a+b", "a:noop:x:", "b:noop:x:a"))
    events = await history(stub, task_id)
    assert gap_free(events)
    (added,) = (event.steps_added for event in events if event.HasField("steps_added"))
    assert added.parent_step_id == "d"
    assert [(s.step_id, list(s.depends_on)) for s in added.steps] == [
        ("d.a", []),
        ("d.b", ["d.a"]),
        ("d.c", ["d.a", "d.b"]),
    ]
    assert started(events) == [("d", 1), ("d.a", 1), ("d.b", 1), ("d.c", 1), ("d", 2)]
    again = requests_of(agents, task_id, "d")[-1]
    assert [(d.step_id, d.agent) for d in again.delegated] == [("a", "noop"), ("b", "noop"), ("c", "noop")]
    inputs = [d.step_id for d in requests_of(agents, task_id, "d.c")[0].dependencies]
    assert inputs == ["d.a", "d.b"]
    assert events[-1].task_completed.output.text == "a=d.a(),b=d.b(d.a()),c=d.c(d.a(),d.b(d.a()))"


async def test_a_task_lists_the_steps_that_were_added(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await submit(stub, _delegating("h:hanging:x:", "n:noop:x:h"))
    await asked(agents, task_id, 2)
    assert await states(stub, task_id) == {"d.h": "running", "d.n": "pending", "d": "delegating"}
    agents.gates[task_id].set()
    await history(stub, task_id)
    task = await get_task(stub, task_id)
    assert [(s.step.step_id, s.step.agent, state_name(s.state), s.attempt) for s in task.steps] == [
        ("d.h", "hanging", "completed", 1),
        ("d.n", "noop", "completed", 1),
        ("d", "delegator", "completed", 2),
    ]
    assert [step.step_id for step in task.plan.steps] == ["d"], "the plan is as planned at submission"


async def test_what_depends_on_a_delegating_step_waits_for_its_end(stub: "Stub") -> None:
    task = spec(("d", "delegator", "a:noop:x:", ["first"]), ("first", "noop", "x", []), ("after", "noop", "x", ["d"]))
    events = await history(stub, await submit(stub, task))
    assert list(completed(events)) == ["first", "d.a", "d", "after"]
    assert events[-1].task_completed.output.text == "after(a=d.a())"


async def test_an_agent_may_delegate_again_behind_what_it_delegated_before(
    stub: "Stub", agents: ScriptedAgents
) -> None:
    task_id = await submit(stub, spec(("d", "again", "3", [])))
    events = await history(stub, task_id)
    assert list(completed(events)) == ["d.n0", "d.n1", "d.n2", "d"]
    assert completed(events)["d"] == "n0,n1,n2"
    assert completed(events)["d.n2"] == "d.n2(d.n1(d.n0()))"
    assert [len(request.delegated) for request in requests_of(agents, task_id, "d")] == [0, 1, 2, 3]


async def test_delegating_does_not_use_up_the_retry_policy(stub: "Stub") -> None:
    task = spec(("d", "again", "3", []))
    task.plan.steps[0].retry_policy.max_attempts = 1
    events = await history(stub, await submit(stub, task))
    assert kinds(events)[-1] == "task_completed"
    assert [attempt for step, attempt in started(events) if step == "d"] == [1, 2, 3, 4]


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_delegated_steps_may_delegate(stub: "Stub", depth: int) -> None:
    events = await history(stub, await submit(stub, spec(("d", "deep", str(depth), []))))
    deepest = ".".join(["d"] + ["n"] * depth)
    assert deepest in completed(events)
    assert kinds(events).count("steps_added") == depth
    assert kinds(events)[-1] == "task_completed"


async def test_delegation_that_goes_too_deep_is_refused(stub: "Stub") -> None:
    events = await history(stub, await submit(stub, spec(("d", "deep", "4", []))))
    failed = events[-1].task_failed
    assert failed.error.reason == ErrorReason.ERROR_REASON_INVALID_PLAN
    assert failed.step_id == "d.n.n.n"
    assert "4 deep, and 3 are allowed" in failed.error.message
    assert [attempt for step, attempt in started(events) if step == "d.n.n.n"] == [1], "it is not tried again"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["a:nobody:x:"], "'nobody' is no known agent"),
        (["a:noop:x:b", "b:noop:x:a"], "cycle"),
        (["a:noop:x:elsewhere"], "'elsewhere' is no step"),
        (["a:noop:x:", "a:noop:x:"], "'a' stands twice"),
        (["A.b:noop:x:"], "step_id"),
        (["a:noop::"], "instruction"),
    ],
)
async def test_steps_that_cannot_run_fail_the_attempt_for_good(stub: "Stub", lines: list[str], problem: str) -> None:
    task_id = await submit(stub, _delegating(*lines))
    events = await history(stub, task_id)
    (failed,) = (event.step_failed for event in events if event.HasField("step_failed"))
    assert (failed.error.reason, failed.will_retry) == (ErrorReason.ERROR_REASON_INVALID_PLAN, False)
    assert problem in failed.error.message
    assert "`delegator`" in failed.error.message
    assert kinds(events)[-1] == "task_failed"
    assert "steps_added" not in kinds(events)
    assert await states(stub, task_id) == {"d": "failed"}


async def test_ids_that_were_used_are_refused(stub: "Stub") -> None:
    events = await history(stub, await submit(stub, spec(("d", "repeating", "x", []))))
    failed = events[-1].task_failed
    assert failed.error.reason == ErrorReason.ERROR_REASON_INVALID_PLAN
    assert "`d.same`" in failed.error.message
    assert kinds(events).count("steps_added") == 1
    assert failed.partial_output.text == "d.same()"


async def test_two_steps_may_delegate_under_the_same_ids(stub: "Stub") -> None:
    task = spec(("d", "delegator", "a:noop:x:", []), ("e", "delegator", "a:noop:x:", []))
    assert {"d.a", "e.a", "d", "e"} == completed(await history(stub, await submit(stub, task))).keys()


async def test_a_delegated_step_that_fails_fails_the_task_and_can_be_retried(
    stub: "Stub", agents: ScriptedAgents
) -> None:
    task_id = await submit(stub, spec(("d", "risky", "2", []), ("after", "noop", "x", ["d"])))
    before = await history(stub, task_id)
    assert before[-1].task_failed.step_id == "d.f"
    assert await states(stub, task_id) == {"d.ok": "completed", "d.f": "failed", "d": "skipped", "after": "skipped"}

    await retry(stub, task_id)
    events = await history(stub, task_id)
    assert list(events[len(before)].task_retried.step_ids) == ["d.f", "d", "after"]
    assert started(events[len(before) :]) == [("d.f", 2), ("d", 2), ("after", 1)], "what was delegated stays so"
    assert events[-1].task_completed.output.text == "after(d.ok(),attempt 2)"
    assert len(requests_of(agents, task_id, "d.ok")) == 1


async def test_a_worker_killed_while_delegated_steps_run_loses_nothing(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    doomed = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, _delegating("a:noop:x:", "h:hanging:x:a", "z:noop:x:h"))
        await asked(own_agents, task_id, 3)
        doomed.kill()
        own.start_worker()
        await asked(own_agents, task_id, 4)
        own_agents.gates[task_id].set()
        events = await history(stub, task_id)
    assert gap_free(events)
    assert list(completed(events)) == ["d.a", "d.h", "d.z", "d"]
    assert started(events) == [("d", 1), ("d.a", 1), ("d.h", 1), ("d.h", 2), ("d.z", 1), ("d", 2)]
    assert kinds(events).count("steps_added") == 1
    assert events[-1].task_completed.output.text == "a=d.a(),h=let go,z=d.z(let go)"


async def test_a_deployment_bounds_the_steps_of_a_task_and_the_depth(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    own.start_worker(TROUPE_WORKER__DELEGATION__MAX_STEPS="4", TROUPE_WORKER__DELEGATION__MAX_DEPTH="1")
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        fits = await history(stub, await submit(stub, _delegating(*(f"s{n}:noop:x:" for n in range(3)))))
        many = await history(stub, await submit(stub, _delegating(*(f"s{n}:noop:x:" for n in range(4)))))
        deep = await history(stub, await submit(stub, spec(("d", "deep", "2", []))))
    assert kinds(fits)[-1] == "task_completed"
    assert "5 steps, and 4 are allowed" in many[-1].task_failed.error.message
    assert many[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_INVALID_PLAN
    assert "2 deep, and 1 are allowed" in deep[-1].task_failed.error.message
