"""Overload is refused, exactly at the bounds, and with what a client needs to come back."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.support.engine import Engine, calling, history, kinds, spec, submit
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.core.errors import TroupeError

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUNDS = ["MAX_OPEN_TASKS", "MAX_OPEN_TASKS_PER_PROJECT"]
WAITING = spec(("h", "hanging", "x", []))
STEPS = 1_000


async def refused(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc] # a call of any shape
    return caught.value


def reason_of(error: grpc.aio.AioRpcError) -> str:
    return TroupeError.from_rpc(error).reason_name


@pytest.mark.parametrize("bound", BOUNDS)
async def test_one_task_more_than_the_bound_is_refused_until_one_has_ended(
    own: Engine, own_agents: ScriptedAgents, bound: str
) -> None:
    own.start_orchestrator(**{f"TROUPE_ORCHESTRATOR__{bound}": "5"})
    own.start_worker()
    async with calling(own) as stub:
        tasks = [await submit(stub, WAITING) for _ in range(5)]
        error = await refused(submit(stub, WAITING))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(error) == "QUOTA_EXCEEDED"
        assert retry_seconds(error) > 0
        assert quota_subject(error) == ("the deployment" if bound == BOUNDS[0] else "project default")
        own_agents.gates[tasks[0]].set()
        await history(stub, tasks[0])
        await submit(stub, WAITING)
        assert reason_of(await refused(submit(stub, WAITING))) == "QUOTA_EXCEEDED"


@pytest.mark.parametrize("bound", [1, 7, 40])
async def test_submissions_at_once_get_exactly_the_bound(own: Engine, own_agents: ScriptedAgents, bound: int) -> None:
    own.start_orchestrator(TROUPE_ORCHESTRATOR__MAX_OPEN_TASKS=str(bound))
    async with calling(own) as stub:
        outcomes = await asyncio.gather(*(submit(stub, WAITING) for _ in range(2 * bound)), return_exceptions=True)
        accepted = {outcome for outcome in outcomes if isinstance(outcome, str)}
        assert len(accepted) == bound
        assert {reason_of(o) for o in outcomes if isinstance(o, grpc.aio.AioRpcError)} == {"QUOTA_EXCEEDED"}
        listed = (await stub.ListTasks(pb.ListTasksRequest(page_size=100))).tasks
        assert {task.task_id for task in listed} == accepted


async def test_a_known_request_id_finds_its_task_at_the_bound(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator(TROUPE_ORCHESTRATOR__MAX_OPEN_TASKS="1")
    async with calling(own) as stub:
        request = pb.SubmitTaskRequest(task=WAITING, request_id="once")
        first = (await stub.SubmitTask(request)).task.task_id
        assert (await stub.SubmitTask(request)).task.task_id == first
        response = await anext(aiter(stub.RunTask(pb.RunTaskRequest(task=WAITING, request_id="once"))))
        assert response.events[0].task_id == first
        other = pb.SubmitTaskRequest(task=spec(("a", "noop", "x", [])), request_id="once")
        assert reason_of(await refused(stub.SubmitTask(other))) == "REQUEST_ID_REUSED"
        assert reason_of(await refused(submit(stub, WAITING))) == "QUOTA_EXCEEDED"


async def test_a_session_is_told_which_submissions_were_refused(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator(TROUPE_ORCHESTRATOR__MAX_OPEN_TASKS="2")
    async with calling(own) as stub:
        call = stub.RunTasks()
        submissions = [pb.TaskSubmission(task=WAITING, request_id=f"r{n}") for n in range(4)]
        await call.write(pb.RunTasksRequest(submissions=submissions))
        results: list[pb.SubmissionResult] = []
        async for response in call:
            results += response.results
            if len(results) == 4:
                break
        call.cancel()
    quota = ErrorReason.ERROR_REASON_QUOTA_EXCEEDED
    assert sorted(result.error.reason for result in results) == [0, 0, quota, quota]
    assert {result.request_id for result in results} == {"r0", "r1", "r2", "r3"}


@pytest.mark.parametrize("steps", [STEPS, STEPS + 1])
async def test_a_plan_has_a_thousand_steps_at_most(own: Engine, own_agents: ScriptedAgents, steps: int) -> None:
    own.start_orchestrator()
    own.start_worker()
    task = spec(*((f"s{n}", "noop", "x", ()) for n in range(steps)))
    async with calling(own) as stub:
        if steps == STEPS:
            assert kinds(await history(stub, await submit(stub, task))).count("step_completed") == STEPS
        else:
            error = await refused(submit(stub, task))
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "task.plan.steps" in str(TroupeError.from_rpc(error).violations)


async def test_what_is_too_large_is_refused_and_the_connection_lives_on(
    own: Engine, own_agents: ScriptedAgents
) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with calling(own) as stub:
        too_long = await refused(submit(stub, TaskSpec(input="x" * 262_145)))
        assert too_long.code() == grpc.StatusCode.INVALID_ARGUMENT
        huge = await refused(submit(stub, spec(*((f"s{n}", "noop", "x" * 60_000, ()) for n in range(80)))))
        assert reason_of(huge) == "MESSAGE_TOO_LARGE"
        assert kinds(await history(stub, await submit(stub, spec(("a", "noop", "x", [])))))[-1] == "task_completed"


def retry_seconds(error: grpc.aio.AioRpcError) -> float:
    info = error_details_pb2.RetryInfo()
    return info.retry_delay.ToTimedelta().total_seconds() if _unpacked(error, info) else 0


def quota_subject(error: grpc.aio.AioRpcError) -> str:
    quota = error_details_pb2.QuotaFailure()
    return quota.violations[0].subject if _unpacked(error, quota) else ""


def _unpacked(error: grpc.aio.AioRpcError, detail: Message) -> bool:
    call: Any = error
    status = rpc_status.from_call(call)
    return status is not None and any(found.Unpack(detail) for found in status.details)
