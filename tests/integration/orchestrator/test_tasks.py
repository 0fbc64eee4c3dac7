"""What the task API promises, against real Redis, orchestrator, worker and agents."""

import asyncio
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from tests.support.engine import Engine, events_of, history, kinds, spec, submit
from tests.support.processes import until
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import RetryPolicy
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import Budget, Planner, StepState, TaskSpec, TaskState
from troupe.core.errors import TroupeError
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


async def test_a_diamond_runs_in_order_and_hands_outputs_on(stub: "Stub") -> None:
    task = spec(
        ("a", "noop", "x", []), ("b", "noop", "x", ["a"]), ("c", "noop", "x", ["a"]), ("d", "noop", "x", ["b", "c"])
    )
    events = await history(stub, await submit(stub, task))

    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert kinds(events)[:3] == ["task_submitted", "task_planned", "step_started"]
    assert events[-1].task_completed.output.text == "d(b(a()),c(a()))"
    ends = [event.step_completed.step_id for event in events if event.HasField("step_completed")]
    assert ends[0] == "a"
    assert ends[-1] == "d"
    assert all(event.event_time.seconds > 0 for event in events)


async def test_what_an_agent_says_is_typed_events_and_text_adds_up(stub: "Stub") -> None:
    words = " ".join(f"word{i}" for i in range(300))
    events = await history(stub, await submit(stub, spec(("t", "talker", words, []))))

    assert [kind for kind in kinds(events) if kind.startswith(("step_pro", "tool"))] == [
        "step_progress",
        "tool_started",
        "tool_finished",
    ]
    deltas = [event.text_delta.text for event in events if event.HasField("text_delta")]
    assert "".join(deltas).split() == words.split()
    assert len(deltas) < 150, "deltas are gathered"


async def test_every_watcher_sees_the_same_history(stub: "Stub") -> None:
    task_id = await submit(stub, spec(("a", "talker", "one two three", []), ("b", "noop", "x", ["a"])))
    early = await history(stub, task_id)
    late = await history(stub, task_id)
    assert early == late
    for cursor in range(len(early)):
        assert await history(stub, task_id, after=cursor) == early[cursor:]
    assert await history(stub, task_id, after=len(early)) == []


async def test_run_task_streams_and_attaches_by_request_id(stub: "Stub", agents: ScriptedAgents) -> None:
    request = pb.RunTaskRequest(task=spec(("a", "noop", "x", [])), request_id="attach-me")
    first = await events_of(stub.RunTask(request))
    second = await events_of(stub.RunTask(request))
    assert first == second
    assert agents.calls[f"{first[0].task_id}/a"] == 1

    request.task.input = "another body"
    error = await _error(stub.RunTask(request).read())
    assert error.reason == ErrorReason.ERROR_REASON_REQUEST_ID_REUSED
    assert error.code is grpc.StatusCode.ALREADY_EXISTS


async def test_a_failing_attempt_is_retried_until_it_succeeds(stub: "Stub") -> None:
    events = await history(stub, await submit(stub, spec(("f", "flaky", "3", []))))
    failures = [event.step_failed for event in events if event.HasField("step_failed")]
    assert [(f.attempt, f.will_retry) for f in failures] == [(1, True), (2, True)]
    assert all(f.retry_delay.ToMilliseconds() >= 5 for f in failures), "what the agent asked for is a lower bound"
    assert events[-1].task_completed.output.text == "attempt 3"


async def test_the_last_allowed_attempt_fails_the_task_and_the_rest_is_skipped(stub: "Stub") -> None:
    task = spec(("f", "flaky", "9", []), ("after", "noop", "x", ["f"]))
    task.plan.steps[0].retry_policy.CopyFrom(RetryPolicy(max_attempts=2))
    task_id = await submit(stub, task)
    events = await history(stub, task_id)
    assert kinds(events)[-2:] == ["step_failed", "task_failed"]
    assert events[-1].task_failed.step_id == "f"
    assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
    states = {s.step.step_id: s.state for s in (await stub.GetTask(pb.GetTaskRequest(task_id=task_id))).task.steps}
    assert states == {"f": StepState.STEP_STATE_FAILED, "after": StepState.STEP_STATE_SKIPPED}


async def test_a_final_error_is_not_retried(stub: "Stub") -> None:
    events = await history(stub, await submit(stub, spec(("s", "broken", "x", []))))
    assert [event.step_failed.will_retry for event in events if event.HasField("step_failed")] == [False]
    assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_MODEL_REFUSED


async def test_a_stream_without_an_output_is_a_failure(stub: "Stub") -> None:
    task = spec(("s", "speechless", "x", []))
    task.plan.steps[0].retry_policy.max_attempts = 1
    events = await history(stub, await submit(stub, task))
    assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_AGENT_FAILED


async def test_cancelling_reaches_the_agent_call(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await submit(stub, spec(("h", "hanging", "x", []), ("after", "noop", "x", ["h"])))
    await _started(agents, task_id)
    reply = await stub.CancelTask(pb.CancelTaskRequest(task_id=task_id, reason="enough"))
    assert reply.task.state == TaskState.TASK_STATE_CANCELLED
    await until(lambda: _holds(task_id in agents.cancelled))

    again = await stub.CancelTask(pb.CancelTaskRequest(task_id=task_id))
    assert again.task.last_sequence == reply.task.last_sequence, "cancelling twice changes nothing"
    assert (await history(stub, task_id))[-1].task_cancelled.reason == "enough"


async def test_cancelling_after_the_step_lets_it_end(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await submit(stub, spec(("h", "hanging", "x", []), ("after", "noop", "x", ["h"])))
    await _started(agents, task_id)
    reply = await stub.CancelTask(pb.CancelTaskRequest(task_id=task_id, mode=pb.CANCEL_MODE_AFTER_STEP))
    assert reply.task.state == TaskState.TASK_STATE_CANCELLING
    agents.gates[task_id].set()
    assert kinds(await history(stub, task_id))[-2:] == ["step_completed", "task_cancelled"]


async def test_a_client_that_goes_away_cancels_only_when_it_said_so(stub: "Stub", agents: ScriptedAgents) -> None:
    for mode in (pb.ON_DISCONNECT_DETACH, pb.ON_DISCONNECT_CANCEL):
        request = pb.RunTaskRequest(task=spec(("h", "hanging", "x", [])), on_disconnect=mode)
        call = stub.RunTask(request)
        task_id = (await anext(aiter(call))).events[0].task_id
        await _started(agents, task_id)
        call.cancel()
        if mode == pb.ON_DISCONNECT_CANCEL:
            assert kinds(await history(stub, task_id))[-1] == "task_cancelled"
        else:
            kept = task_id
    assert kept not in agents.cancelled
    agents.gates[kept].set()
    assert kinds(await history(stub, kept))[-1] == "task_completed"


async def test_a_task_past_its_timeout_fails_and_its_call_is_cancelled(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("h", "hanging", "x", []))
    task.timeout.FromMilliseconds(300)
    task.plan.steps[0].retry_policy.max_attempts = 1
    task_id = await submit(stub, task)
    events = await history(stub, task_id)
    assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
    await until(lambda: _holds(task_id in agents.cancelled))


async def test_a_step_past_its_timeout_is_an_attempt_that_failed(stub: "Stub") -> None:
    task = spec(("h", "hanging", "x", []))
    task.plan.steps[0].timeout.FromMilliseconds(200)
    task.plan.steps[0].retry_policy.max_attempts = 2
    events = await history(stub, await submit(stub, task))
    failures = [event.step_failed for event in events if event.HasField("step_failed")]
    assert [f.error.reason for f in failures] == [ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED] * 2


async def test_usage_adds_up_and_a_spent_budget_ends_the_task(stub: "Stub") -> None:
    task = spec(("a", "spender", "x", []), ("b", "spender", "x", ["a"]), ("c", "spender", "x", ["b"]))
    task.budget.CopyFrom(Budget(max_tokens=150))
    task_id = await submit(stub, task)
    events = await history(stub, task_id)
    assert [e.step_completed.output.text for e in events if e.HasField("step_completed")] == ["left 150"]
    assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED
    assert events[-1].task_failed.step_id == "b"
    assert events[-1].task_failed.partial_output.text == "left 150"
    metrics = (await stub.GetTaskMetrics(pb.GetTaskMetricsRequest(task_id=task_id))).metrics
    assert (metrics.usage.input_tokens, metrics.usage.cost_usd_micros, metrics.usage.model_calls) == (140, 1000, 2)
    assert [(step.step_id, step.attempts) for step in metrics.steps] == [("a", 1), ("b", 1), ("c", 0)]
    assert metrics.cost_units == 2
    assert metrics.events == events[-1].sequence
    assert metrics == events[-1].task_failed.metrics


async def test_messages_that_come_twice_do_not_hold_a_budget_for_ever(
    engine: Engine, stub: "Stub", agents: ScriptedAgents
) -> None:
    task = spec(("a", "hanging", "x", []), ("b", "hanging", "x", []), ("c", "hanging", "x", []))
    task.budget.CopyFrom(Budget(max_tokens=1))
    task_id = await submit(stub, task)
    await _started(agents, task_id)
    redis, partitions = RedisClient(engine.redis.url), Partitions(8)
    partition = partitions.of_task(task_id)
    assert partition is not None
    stream = partitions.key(partition, Key.READY, agent="hanging")
    for _ in range(2):
        await redis.execute("XADD", stream, "*", "t", task_id, "s", "a@1,b@1,c@1")

    async def all_taken() -> bool:
        return not await redis.execute("XLEN", stream)

    await until(all_taken)
    await redis.close()
    agents.gates[task_id].set()
    events = await history(stub, task_id)
    assert events[-1].HasField("task_completed")
    assert sorted(e.step_started.step_id for e in events if e.HasField("step_started")) == ["a", "b", "c"]


@pytest.mark.parametrize("tokens", [-(2**63), -1, 10**17, 2**63 - 1])
async def test_usage_that_cannot_be_believed_harms_nobody(stub: "Stub", tokens: int) -> None:
    task_id = await submit(stub, spec(("a", "liar", str(tokens), [])))
    assert kinds(await history(stub, task_id))[-1] == "task_completed"
    metrics = (await stub.GetTaskMetrics(pb.GetTaskMetricsRequest(task_id=task_id))).metrics
    assert metrics.usage.input_tokens == (10**12 if tokens > 0 else 0)
    assert metrics.usage.cost_usd_micros == 0


async def test_a_history_of_large_outputs_comes_in_messages_that_every_client_takes(
    engine: Engine, stub: "Stub"
) -> None:
    steps: list[tuple[str, str, str, list[str]]] = [(f"s{n}", "bulky", "700000", []) for n in range(20)]
    task_id = await submit(stub, spec(*steps))
    await history(stub, task_id)
    async with grpc.aio.insecure_channel(engine.address) as channel:  # gRPC's own limit: 4 MiB
        assert kinds(await history(OrchestratorServiceStub(channel), task_id))[-1] == "task_completed"


@pytest.mark.parametrize(("agent", "instruction"), [("bulky", "3000000"), ("flooding", "x")])
async def test_what_no_client_could_take_fails_the_step(stub: "Stub", agent: str, instruction: str) -> None:
    events = await history(stub, await submit(stub, spec(("s", agent, instruction, []))))
    assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE
    assert "bytes" in events[-1].task_failed.error.message


async def test_tasks_are_listed_newest_first_in_pages(stub: "Stub") -> None:
    made = [await submit(stub, spec(("a", "noop", "x", []))) for _ in range(5)]
    found: list[str] = []
    token = ""
    while len(found) < 5:
        page = await stub.ListTasks(pb.ListTasksRequest(page_size=2, page_token=token))
        found += [task.task_id for task in page.tasks]
        token = page.next_page_token
    assert sorted(found[:5]) == sorted(made)
    assert len(set(found)) == len(found)
    other = pb.ListTasksRequest(page_size=2, page_token=token, states=[TaskState.TASK_STATE_FAILED])
    assert (await _error(stub.ListTasks(other))).reason == ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN


async def test_an_idle_stream_gets_checkpoints(stub: "Stub", agents: ScriptedAgents) -> None:
    task_id = await submit(stub, spec(("h", "hanging", "x", [])))
    call = stub.WatchTask(pb.WatchTaskRequest(task_id=task_id))
    async for response in call:
        event = response.events[-1]
        if event.HasField("checkpoint"):
            assert event.sequence == 0
            assert event.checkpoint.last_sequence == 4
            break
    agents.gates[task_id].set()


async def test_the_plan_by_rules_is_what_runs(stub: "Stub") -> None:
    # The scripted agents have no `retriever`, so the rules' plan names an agent that is not there.
    error = await _error(stub.PlanTask(pb.PlanTaskRequest(task=TaskSpec(input="What is a lease?"))))
    assert error.reason == ErrorReason.ERROR_REASON_UNKNOWN_AGENT
    plan = (await stub.PlanTask(pb.PlanTaskRequest(task=spec(("b", "noop", "x", ["a"]), ("a", "noop", "x", []))))).plan
    assert [step.step_id for step in plan.steps] == ["a", "b"], "in an order that can be executed"
    assert plan.planner == Planner.PLANNER_CALLER


async def test_agents_are_listed(stub: "Stub") -> None:
    agents = (await stub.ListAgents(pb.ListAgentsRequest())).agents
    assert {"noop", "talker"} <= {status.agent.name for status in agents}
    assert all(status.available for status in agents)


async def _error(call: object) -> TroupeError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc] # a call of any shape
    return TroupeError.from_rpc(caught.value)


async def _started(agents: ScriptedAgents, task_id: str) -> None:
    await until(lambda: _holds(bool(agents.requests[task_id])))


async def _holds(condition: bool) -> bool:
    await asyncio.sleep(0)
    return condition
