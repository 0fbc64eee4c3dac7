"""Bad input gets a code of its own, a reason, the field, and a message that helps."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from tests.support.engine import history, kinds, plan, spec, submit
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import Plan, TaskSpec
from troupe.core.errors import TroupeError

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _submit(**fields: Any) -> "Callable[[Stub], Awaitable[Any]]":
    return lambda stub: stub.SubmitTask(pb.SubmitTaskRequest(task=TaskSpec(**{"input": "x", **fields})))


def _dense(steps: int, dependencies: int) -> Plan:
    """Each step depends on so many before it, or on all there are; the last stands first."""
    ids = [f"{number:x}" for number in range(steps)]
    before = {name: ids[max(0, place - dependencies) : place] for place, name in enumerate(ids)}
    return plan(*((name, "bulky", "1", before[name]) for name in reversed(ids)))


_STEP: tuple[str, str, str, list[str]] = ("a", "noop", "x", [])
CASES: "dict[str, tuple[Callable[[Stub], Awaitable[Any]], str, str, str]]" = {
    "empty input": (_submit(input=""), "INVALID_ARGUMENT", "INVALID_REQUEST", "task.input"),
    "blank input": (_submit(input=" \n\t"), "INVALID_ARGUMENT", "INVALID_REQUEST", "task.input"),
    "no task": (lambda s: s.SubmitTask(pb.SubmitTaskRequest()), "INVALID_ARGUMENT", "INVALID_REQUEST", "task"),
    "no step": (_submit(plan=plan()), "INVALID_ARGUMENT", "INVALID_REQUEST", "task.plan.steps"),
    "bad step id": (
        _submit(plan=plan(("A b", "noop", "x", []))),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "task.plan.steps[0].step_id",
    ),
    "cycle": (
        _submit(plan=plan(("a", "noop", "x", ["b"]), ("b", "noop", "x", ["a"]))),
        "INVALID_ARGUMENT",
        "INVALID_PLAN",
        "depends_on",
    ),
    "dangling dependency": (
        _submit(plan=plan(("a", "noop", "x", ["ghost"]))),
        "INVALID_ARGUMENT",
        "INVALID_PLAN",
        "task.plan.steps[0].depends_on[0]",
    ),
    "step id twice": (
        _submit(plan=plan(_STEP, _STEP)),
        "INVALID_ARGUMENT",
        "INVALID_PLAN",
        "task.plan.steps[1].step_id",
    ),
    "unknown agent": (
        _submit(plan=plan(("a", "ghost", "x", []))),
        "INVALID_ARGUMENT",
        "UNKNOWN_AGENT",
        "task.plan.steps[0].agent",
    ),
    "many bad steps": (
        _submit(plan=plan(*[("A b", "noop", "x", ["?"])] * 64)),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "more",
    ),
    "a webhook without an end": (
        _submit(webhook_url="http://example.org/" + "%ff" * 600),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "task.webhook_url",
    ),
    "more dependencies than are allowed": (
        _submit(plan=_dense(1_000, 500)),
        "INVALID_ARGUMENT",
        "INVALID_PLAN",
        "`task.plan.steps` depend 374750 times",
    ),
    "one dependency too many": (
        _submit(plan=_dense(142, 141)),
        "INVALID_ARGUMENT",
        "INVALID_PLAN",
        "10011 times on one another, and 10000 times are allowed",
    ),
    "an agent that is spelt wrong": (
        _submit(plan=plan(("a", "nop", "x", []))),
        "INVALID_ARGUMENT",
        "UNKNOWN_AGENT",
        "is `noop` meant?",
    ),
    "budget beyond belief": (
        _submit(budget={"max_tokens": 2**63 - 1}),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "task.budget.max_tokens",
    ),
    "negative budget": (
        _submit(budget={"max_tokens": -1}),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "task.budget.max_tokens",
    ),
    "webhook": (_submit(webhook_url="http://127.0.0.1/x"), "INVALID_ARGUMENT", "INVALID_REQUEST", "task.webhook_url"),
    "unknown task": (
        lambda s: s.GetTask(pb.GetTaskRequest(task_id="nobody")),
        "NOT_FOUND",
        "TASK_NOT_FOUND",
        "`nobody`",
    ),
    "unknown task, watched": (
        lambda s: s.WatchTask(pb.WatchTaskRequest(task_id="01m7ypewytdnae6hkykxn09ezm07")).read(),
        "NOT_FOUND",
        "TASK_NOT_FOUND",
        "01m7ypewytdnae6hkykxn09ezm07",
    ),
    "unknown task, cancelled": (
        lambda s: s.CancelTask(pb.CancelTaskRequest(task_id="01m7ypewytdnae6hkykxn09ezm07")),
        "NOT_FOUND",
        "TASK_NOT_FOUND",
        "01m7ypewytdnae6hkykxn09ezm07",
    ),
    "bad page token": (
        lambda s: s.ListTasks(pb.ListTasksRequest(page_token="%%%")),
        "INVALID_ARGUMENT",
        "INVALID_PAGE_TOKEN",
        "page_token",
    ),
    "page token of another kind": (
        lambda s: s.ListTasks(pb.ListTasksRequest(page_token="W3RydWUsIngiLCI0ZjUzY2RhMSJd")),
        "INVALID_ARGUMENT",
        "INVALID_PAGE_TOKEN",
        "page_token",
    ),
    "page too large": (
        lambda s: s.ListTasks(pb.ListTasksRequest(page_size=5000)),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "page_size",
    ),
    "oversized message": (_submit(input="x" * 5_000_000), "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE", "4194304"),
    "oversized message by far": (_submit(input="x" * 40_000_000), "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE", "larger"),
}


@pytest.mark.parametrize("case", CASES)
async def test_bad_input_is_explained(stub: "Stub", case: str) -> None:
    call, code, reason, named = CASES[case]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub)
    error = TroupeError.from_rpc(caught.value)
    assert error.code.name == code
    assert error.reason_name == reason
    assert named in error.message
    assert "Traceback" not in error.message
    if reason in {"INVALID_REQUEST", "INVALID_PLAN", "UNKNOWN_AGENT", "INVALID_PAGE_TOKEN"}:
        assert any(violation.field in error.message for violation in error.violations)


@pytest.mark.parametrize("after", [6, 999, 2**31, 2**62, 2**63 - 33, 2**63 - 2, 2**63 - 1])
async def test_a_cursor_from_the_future_is_out_of_range(stub: "Stub", after: int) -> None:
    task_id = await submit(stub, spec(_STEP))
    await history(stub, task_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await history(stub, task_id, after=after)
    error = TroupeError.from_rpc(caught.value)
    assert error.code is grpc.StatusCode.OUT_OF_RANGE
    assert (error.metadata["oldest_sequence"], error.metadata["newest_sequence"]) == ("1", "5")


async def test_a_task_that_has_ended_cannot_be_cancelled(stub: "Stub") -> None:
    task_id = await submit(stub, spec(_STEP))
    await history(stub, task_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CancelTask(pb.CancelTaskRequest(task_id=task_id))
    assert TroupeError.from_rpc(caught.value).reason == ErrorReason.ERROR_REASON_INVALID_TASK_STATE


@pytest.mark.parametrize(
    "text", ["日本語のテキスト 🎭", "نص عربي من اليمين إلى اليسار", "\u202eflipped\u202c \x00 nul", "é" * 1000]
)
async def test_any_text_passes_unchanged(stub: "Stub", text: str) -> None:
    task = spec(("t", "noop", "x", []))
    task.input = text
    events = await history(stub, await submit(stub, task))
    assert events[0].task_submitted.spec.input == text
    assert kinds(events)[-1] == "task_completed"


async def test_the_largest_graph_runs(stub: "Stub") -> None:
    task = TaskSpec(input="x", plan=_dense(141, 140))
    assert sum(len(step.depends_on) for step in task.plan.steps) == 9_870
    events = await history(stub, await submit(stub, task))
    assert kinds(events)[-1] == "task_completed"
    assert kinds(events).count("step_completed") == 141


async def test_a_dense_plan_is_refused_at_every_door_and_holds_up_nobody(stub: "Stub") -> None:
    """Ten of them at once: what they cost is reading them."""
    spec_ = TaskSpec(input="x", plan=_dense(1_000, 300))
    session: Any = stub.RunTasks()
    await session.write(pb.RunTasksRequest(submissions=[pb.TaskSubmission(task=spec_, request_id="dense")]))
    (result,) = (await session.read()).results
    session.cancel()
    assert result.error.reason == ErrorReason.ERROR_REASON_INVALID_PLAN
    calls: list[Any] = [stub.PlanTask(pb.PlanTaskRequest(task=spec_)) for _ in range(5)]
    calls += [stub.RunTask(pb.RunTaskRequest(task=spec_)).read() for _ in range(5)]
    for refused in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(refused, grpc.aio.AioRpcError)
        assert TroupeError.from_rpc(refused).reason == ErrorReason.ERROR_REASON_INVALID_PLAN
