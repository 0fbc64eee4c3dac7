"""RetryTask: a failed task is taken up from what did not complete."""

from typing import TYPE_CHECKING

import grpc
import pytest

from tests.support.engine import history, kinds, spec, submit
from tests.support.scenarios import (
    completed,
    gap_free,
    get_task,
    refusal,
    requests_of,
    retry,
    started,
    states,
)
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import RetryPolicy
from troupe.api.orchestrator.v1.task_pb2 import Budget, TaskSpec, TaskState

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


def _flaky(until_attempt: int, max_attempts: int) -> TaskSpec:
    """A step that completes, one that fails until an attempt, and two behind it."""
    task = spec(
        ("kept", "noop", "x", []),
        ("f", "flaky", str(until_attempt), ["kept"]),
        ("then", "noop", "x", ["f"]),
        ("last", "noop", "x", ["kept", "then"]),
    )
    task.plan.steps[1].retry_policy.CopyFrom(RetryPolicy(max_attempts=max_attempts))
    return task


async def test_a_failed_task_goes_on_from_its_failed_step(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await submit(stub, _flaky(until_attempt=3, max_attempts=2))
    before = await history(stub, task_id)
    assert kinds(before)[-1] == "task_failed"
    assert await states(stub, task_id) == {"kept": "completed", "f": "failed", "then": "skipped", "last": "skipped"}

    await retry(stub, task_id)
    events = await history(stub, task_id)
    assert events[: len(before)] == before, "the history goes on where it ended"
    assert gap_free(events)
    added = events[len(before) :]
    assert list(added[0].task_retried.step_ids) == ["f", "then", "last"]
    assert started(added) == [("f", 3), ("then", 1), ("last", 1)], "attempts go on counting"
    assert len(requests_of(agents, task_id, "kept")) == 1, "what completed is not executed again"
    assert events[-1].task_completed.output.text == "last(kept(),then(attempt 3))"
    assert len({r.idempotency_key for r in requests_of(agents, task_id, "f")}) == 1


async def test_the_retry_policy_starts_anew(stub: "Stub") -> None:
    task_id = await submit(stub, _flaky(until_attempt=9, max_attempts=2))
    await history(stub, task_id)
    for _ in range(2):
        last = (await retry(stub, task_id)).last_sequence
        await history(stub, task_id, after=last)
    failures = [e.step_failed for e in await history(stub, task_id) if e.HasField("step_failed")]
    assert [(f.attempt, f.will_retry) for f in failures] == [(n, n % 2 == 1) for n in range(1, 7)]


async def test_a_task_that_was_taken_up_has_no_end_until_it_ends_again(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("h", "hanging", "x", []))
    task.timeout.FromMilliseconds(300)
    task_id = await submit(stub, task)
    assert (await history(stub, task_id))[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
    failed = await get_task(stub, task_id)
    assert failed.HasField("end_time")

    agents.gates[task_id].set()
    await retry(stub, task_id)
    events = await history(stub, task_id)
    assert kinds(events).count("task_failed") == 1
    assert events[-1].task_completed.output.text == "let go", "its deadline started anew"
    task_now = await get_task(stub, task_id)
    assert task_now.state == TaskState.TASK_STATE_COMPLETED
    assert not task_now.HasField("error")
    assert task_now.output.text == "let go"
    assert task_now.end_time.ToNanoseconds() > failed.end_time.ToNanoseconds()


async def test_the_new_deadline_holds(stub: "Stub") -> None:
    task = spec(("h", "hanging", "x", []))
    task.timeout.FromMilliseconds(300)
    task_id = await submit(stub, task)
    await history(stub, task_id)
    taken_up = await retry(stub, task_id)
    again = await history(stub, task_id, after=taken_up.last_sequence)
    assert again[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED


async def test_a_task_that_spent_its_budget_can_be_taken_up_and_has_no_more(
    stub: "Stub", agents: ScriptedAgents
) -> None:
    task = spec(("a", "spender", "x", []), ("b", "spender", "x", ["a"]))
    task.budget.CopyFrom(Budget(max_tokens=150))
    task_id = await submit(stub, task)
    before = await history(stub, task_id)
    assert before[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED

    await retry(stub, task_id)
    added = (await history(stub, task_id))[len(before) :]
    assert kinds(added)[0] == "task_retried"
    assert added[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED
    assert added[-1].task_failed.partial_output.text == "left 150"
    assert len(requests_of(agents, task_id, "b")) == 1, "nothing is left that an attempt could use"


async def test_the_same_request_is_one_retry(stub: "Stub") -> None:
    task_id = await submit(stub, _flaky(until_attempt=9, max_attempts=1))
    await history(stub, task_id)
    for _ in range(3):
        await retry(stub, task_id, "once")
        events = await history(stub, task_id)
    assert kinds(events).count("task_retried") == 1
    assert started(events) == [("kept", 1), ("f", 1), ("f", 2)]

    await retry(stub, task_id, "twice")
    assert kinds(await history(stub, task_id)).count("task_retried") == 2


async def test_only_failed_tasks_are_taken_up(stub: "Stub", agents: ScriptedAgents) -> None:
    done = await submit(stub, spec(("a", "noop", "x", [])))
    await history(stub, done)
    running = await submit(stub, spec(("h", "hanging", "x", [])))
    for task_id in (done, running):
        before = (await get_task(stub, task_id)).last_sequence
        error = await refusal(retry(stub, task_id))
        assert error.code is grpc.StatusCode.FAILED_PRECONDITION
        assert error.reason == ErrorReason.ERROR_REASON_INVALID_TASK_STATE
        if task_id == done:
            assert (await get_task(stub, task_id)).last_sequence == before
    agents.gates[running].set()


async def test_a_task_that_is_not_there_is_not_found(stub: "Stub") -> None:
    task_id = await submit(stub, spec(("a", "noop", "x", [])))
    for unknown in ("nothing", task_id[:-1] + ("x" if task_id[-1] != "x" else "y")):
        error = await refusal(retry(stub, unknown))
        assert error.code is grpc.StatusCode.NOT_FOUND
        assert error.reason == ErrorReason.ERROR_REASON_TASK_NOT_FOUND


async def test_a_step_that_the_end_of_the_task_cancelled_is_done_again(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("h", "hanging", "x", []), ("f", "flaky", "2", []), ("end", "noop", "x", ["h", "f"]))
    task.plan.steps[1].retry_policy.max_attempts = 1
    task_id = await submit(stub, task)
    await history(stub, task_id)
    agents.gates[task_id].set()
    await retry(stub, task_id)
    events = await history(stub, task_id)
    assert events[-1].task_completed.output.text == "end(let go,attempt 2)"
    assert list(completed(events)) in (["h", "f", "end"], ["f", "h", "end"])


async def test_a_failed_task_keeps_what_its_last_completed_step_produced(stub: "Stub") -> None:
    task_id = await submit(
        stub,
        spec(("a", "noop", "x", []), ("b", "noop", "x", ["a"]), ("s", "broken", "x", ["b"]), ("c", "noop", "x", ["s"])),
    )
    failed = (await history(stub, task_id))[-1].task_failed
    assert failed.step_id == "s"
    assert failed.partial_output.text == "b(a())"
    assert (await get_task(stub, task_id)).output == failed.partial_output


async def test_a_task_of_which_nothing_completed_has_no_output(stub: "Stub") -> None:
    task_id = await submit(stub, spec(("s", "broken", "x", [])))
    assert not (await history(stub, task_id))[-1].task_failed.HasField("partial_output")
    assert not (await get_task(stub, task_id)).HasField("output")
