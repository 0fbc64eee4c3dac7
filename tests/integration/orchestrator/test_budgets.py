"""Budgets: what an attempt may use is held before it starts, and what it did not use is given back."""

from typing import TYPE_CHECKING

import pytest

from tests.support.engine import Engine, healthy, history, kinds, spec, submit
from tests.support.scenarios import asked, completed, get_task, holds, in_state, requests_of, resolve, started, states
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import Budget, TaskMetrics, TaskSpec

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


def _with_budget(task: TaskSpec, *, tokens: int = 0, cost: int = 0) -> TaskSpec:
    task.budget.CopyFrom(Budget(max_tokens=tokens, max_cost_usd_micros=cost))
    return task


def _shares(agents: ScriptedAgents, task_id: str) -> dict[str, tuple[int, int]]:
    """Tokens and cost that each step was given, at its last attempt."""
    return {r.step_id: (r.budget.tokens, r.budget.cost_usd_micros) for r in agents.requests[task_id]}


async def _metrics(stub: "Stub", task_id: str) -> TaskMetrics:
    return (await stub.GetTaskMetrics(pb.GetTaskMetricsRequest(task_id=task_id))).metrics


async def test_steps_that_are_ready_together_share_what_is_left(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("a", "hanging", "x", []), ("b", "hanging", "x", []), ("end", "noop", "x", ["a", "b"]))
    task_id = await submit(stub, _with_budget(task, tokens=100, cost=11))
    await asked(agents, task_id, 2)
    shares = _shares(agents, task_id)
    assert [tokens for tokens, _ in shares.values()] == [50, 50]
    assert sorted(cost for _, cost in shares.values()) == [5, 6], "together no more than there is"
    agents.gates[task_id].set()
    await history(stub, task_id)
    assert _shares(agents, task_id)["end"] == (100, 11), "what was not used is given back"


async def test_steps_that_one_step_lets_go_share_what_is_left(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("a", "noop", "x", []), ("b", "hanging", "x", ["a"]), ("c", "hanging", "x", ["a"]))
    task_id = await submit(stub, _with_budget(task, tokens=100))
    await asked(agents, task_id, 3)
    agents.gates[task_id].set()
    await history(stub, task_id)
    assert _shares(agents, task_id) == {"a": (100, 0), "b": (50, 0), "c": (50, 0)}


async def test_each_step_of_a_chain_gets_all_that_is_left(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("a", "spender", "x", []), ("b", "liar", "7", ["a"]), ("c", "spender", "x", ["b"]))
    task_id = await submit(stub, _with_budget(task, tokens=1000))
    assert kinds(await history(stub, task_id))[-1] == "task_completed"
    assert _shares(agents, task_id) == {"a": (1000, 0), "b": (900, 0), "c": (893, 0)}


async def test_a_failed_attempt_gives_back_what_it_held(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await submit(stub, _with_budget(spec(("f", "flaky", "3", [])), tokens=100))
    assert kinds(await history(stub, task_id))[-1] == "task_completed"
    assert [r.budget.tokens for r in requests_of(agents, task_id, "f")] == [100, 100, 100]


async def test_a_delegating_step_gives_back_what_it_held(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("d", "delegator", "a:noop:x:\nb:spender:x:a", []))
    task_id = await submit(stub, _with_budget(task, tokens=500))
    assert kinds(await history(stub, task_id))[-1] == "task_completed"
    assert [(r.step_id, r.budget.tokens) for r in agents.requests[task_id]] == [
        ("d", 500),
        ("d.a", 500),
        ("d.b", 500),
        ("d", 400),
    ]


async def test_a_step_waits_while_others_hold_all_and_then_runs(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("h", "hanging", "x", []), ("a", "noop", "x", []), ("late", "noop", "x", ["a"]))
    task_id = await submit(stub, _with_budget(task, tokens=2))
    await asked(agents, task_id, 2)
    await in_state(stub, task_id, "a", "completed")
    await in_state(stub, task_id, "late", "completed")  # `a` gave back its share
    assert _shares(agents, task_id) == {"h": (1, 0), "a": (1, 0), "late": (1, 0)}
    agents.gates[task_id].set()
    assert kinds(await history(stub, task_id))[-1] == "task_completed"


async def test_a_step_that_finds_all_held_waits_until_others_settle(stub: "Stub", agents: ScriptedAgents) -> None:
    # `h` is alone when it starts, so that it holds all; `late` becomes ready beside it.
    task = spec(("h", "hanging", "x", []), ("p", "noop", "x", []), ("late", "noop", "x", ["p"]))
    task.plan.steps[1].requires_approval = True
    task_id = await submit(stub, _with_budget(task, tokens=100))
    await asked(agents, task_id)
    await resolve(stub, task_id, "p", approve=True)
    other = await submit(stub, spec(("n", "noop", "x", []), ("m", "noop", "x", ["n"])))
    assert kinds(await history(stub, other))[-1] == "task_completed"  # the workers have looked at what is ready
    assert (await states(stub, task_id))["p"] == "ready"
    assert _shares(agents, task_id) == {"h": (100, 0)}

    agents.gates[task_id].set()
    events = await history(stub, task_id)
    assert started(events) == [("h", 1), ("p", 1), ("late", 1)]
    assert _shares(agents, task_id) == {"h": (100, 0), "p": (100, 0), "late": (100, 0)}
    assert kinds(events)[-1] == "task_completed"


async def test_many_steps_with_a_budget_of_one_all_run(stub: "Stub", agents: ScriptedAgents) -> None:
    steps: list[tuple[str, str, str, list[str]]] = [(f"s{n}", "noop", "x", []) for n in range(40)]
    task_id = await submit(stub, _with_budget(spec(*steps), tokens=1, cost=1))
    events = await history(stub, task_id)
    assert len(completed(events)) == 40
    assert kinds(events)[-1] == "task_completed"
    assert set(_shares(agents, task_id).values()) == {(1, 1)}


async def test_a_report_over_the_budget_ends_the_task_at_once(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("a", "noop", "x", []), ("h", "hanging", "x", ["a"]), ("s", "spender", "x", ["a"]))
    task_id = await submit(stub, _with_budget(task, tokens=99))
    events = await history(stub, task_id)
    failed = events[-1].task_failed
    assert (failed.step_id, failed.error.reason) == ("s", ErrorReason.ERROR_REASON_BUDGET_EXCEEDED)
    assert failed.partial_output.text == "a()"
    assert kinds(events)[-2] == "usage_reported", "nothing comes between"
    assert (await get_task(stub, task_id)).output.text == "a()"
    assert (await states(stub, task_id))["s"] == "cancelled"
    await holds(lambda: task_id in agents.cancelled)


async def test_what_costs_too_much_ends_the_task_as_well(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("a", "spender", "x", []), ("b", "spender", "x", ["a"]), ("c", "spender", "x", ["b"]))
    task_id = await submit(stub, _with_budget(task, cost=999))
    events = await history(stub, task_id)
    assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED
    assert events[-1].task_failed.step_id == "b"
    assert events[-1].task_failed.metrics.usage.cost_usd_micros == 1000
    assert _shares(agents, task_id) == {"a": (0, 999), "b": (0, 499)}


async def test_a_budget_that_is_used_to_the_last_is_kept(stub: "Stub") -> None:
    task = spec(("a", "spender", "x", []), ("b", "spender", "x", ["a"]))
    task_id = await submit(stub, _with_budget(task, tokens=200, cost=1000))
    assert kinds(await history(stub, task_id))[-1] == "task_completed"


async def test_a_step_that_nothing_is_left_for_ends_the_task(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("a", "spender", "x", []), ("b", "noop", "x", ["a"]))
    task_id = await submit(stub, _with_budget(task, tokens=100))
    failed = (await history(stub, task_id))[-1].task_failed
    assert (failed.step_id, failed.error.reason) == ("b", ErrorReason.ERROR_REASON_BUDGET_EXCEEDED)
    assert failed.partial_output.text == "left 100"
    assert not requests_of(agents, task_id, "b")


async def test_a_task_without_a_budget_has_none_in_its_requests(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await submit(stub, spec(("a", "spender", "x", []), ("b", "spender", "x", ["a"])))
    assert kinds(await history(stub, task_id))[-1] == "task_completed"
    assert not any(request.HasField("budget") for request in agents.requests[task_id])


async def test_a_killed_worker_gives_back_what_its_steps_held(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    doomed = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, _with_budget(spec(("h", "hanging", "x", [])), tokens=100))
        await asked(own_agents, task_id)
        doomed.kill()
        own.start_worker()
        await asked(own_agents, task_id, 2)
        own_agents.gates[task_id].set()
        assert kinds(await history(stub, task_id))[-1] == "task_completed"
    assert [request.budget.tokens for request in own_agents.requests[task_id]] == [100, 100]


async def test_attempts_have_a_price_in_units_of_the_deployment(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    own.start_worker(
        TROUPE_WORKER__COST_UNITS='{"flaky": 10, "broken": 7}',
        TROUPE_WORKER__DEFAULT_COST_UNITS="3",
    )
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task = spec(
            ("n", "noop", "x", []), ("f", "flaky", "3", ["n"]), ("b", "broken", "x", ["f"]), ("z", "noop", "x", ["b"])
        )
        task_id = await submit(stub, task)
        failed = (await history(stub, task_id))[-1].task_failed
        metrics = await _metrics(stub, task_id)
    assert {step.step_id: step.cost_units for step in metrics.steps} == {"n": 3, "f": 30, "b": 7, "z": 0}
    assert metrics.cost_units == 40
    assert failed.metrics == metrics
