"""RunTasks: many tasks on one stream."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from tests.support.engine import Engine, healthy, history, kinds, spec
from tests.support.processes import reached
from tests.support.scenarios import asked, gap_free
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.core.errors import TroupeError

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

Call = grpc.aio.StreamStreamCall[pb.RunTasksRequest, pb.RunTasksResponse]

ALL, TERMINAL = pb.EVENT_SELECTION_ALL, pb.EVENT_SELECTION_TERMINAL


@dataclass
class Seen:
    """What came over a stream."""

    results: dict[str, pb.SubmissionResult] = field(default_factory=dict)
    events: dict[str, list[TaskEvent]] = field(default_factory=lambda: defaultdict(list))

    def take(self, response: pb.RunTasksResponse) -> None:
        assert response.results or response.events, "no message is empty"
        for result in response.results:
            self.results[result.request_id] = result
        for event in response.events:
            self.events[event.task_id].append(event)

    def of(self, request_id: str) -> Sequence[TaskEvent]:
        return self.events[self.results[request_id].task_id]


def _submission(
    request_id: str, task: TaskSpec, events: "pb.EventSelection.ValueType" = pb.EVENT_SELECTION_UNSPECIFIED
) -> pb.TaskSubmission:
    return pb.TaskSubmission(task=task, request_id=request_id, events=events)


def _chain() -> TaskSpec:
    return spec(("a", "noop", "x", []), ("b", "noop", "x", ["a"]))


async def _run(stub: "Stub", *messages: Iterable[pb.TaskSubmission]) -> Seen:
    """Sends messages, closes this side and takes everything to the end."""
    seen = Seen()
    async for response in stub.RunTasks(iter([pb.RunTasksRequest(submissions=m) for m in messages]), timeout=100):
        seen.take(response)
    return seen


async def _rest(call: Call, seen: Seen) -> None:
    """Takes what comes to the end."""
    while isinstance(response := await call.read(), pb.RunTasksResponse):
        seen.take(response)


async def _next(call: Call, seen: Seen) -> None:
    """Takes one message; there must be one."""
    response = await call.read()
    assert isinstance(response, pb.RunTasksResponse), "the stream ended"
    seen.take(response)


async def _broken_off(call: Call, seen: Seen) -> TroupeError:
    """Takes what comes until the stream fails, and returns why it did."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _rest(call, seen)
    return TroupeError.from_rpc(caught.value)


async def test_many_tasks_run_on_one_stream(stub: "Stub") -> None:
    seen = await _run(stub, [_submission(f"many-{n}", _chain()) for n in range(50)])
    assert len({result.task_id for result in seen.results.values()}) == 50
    for n in range(50):
        events = seen.of(f"many-{n}")
        assert gap_free(events)
        assert events[-1].task_completed.output.text == "b(a())"
    task_id = seen.results["many-7"].task_id
    assert list(seen.of("many-7")) == await history(stub, task_id)
    assert seen.events.keys() == {result.task_id for result in seen.results.values()}


async def test_only_the_end_is_sent_to_who_wants_no_more(stub: "Stub") -> None:
    seen = await _run(stub, [_submission("end-1", _chain(), TERMINAL)], [_submission("end-2", _chain(), ALL)])
    end = seen.of("end-1")
    assert end[-1].task_completed.output.text == "b(a())"
    assert kinds(end) == ["step_completed", "task_completed"], "the end, and what was recorded together with it"
    assert gap_free(seen.of("end-2"))


async def test_a_refused_submission_leaves_the_others_alone(stub: "Stub") -> None:
    await _run(stub, [_submission("taken", _chain())])
    cycle = spec(("a", "noop", "x", ["b"]), ("b", "noop", "x", ["a"]))
    blank = TaskSpec(input=" ", plan=_chain().plan)
    seen = await _run(
        stub,
        [
            _submission("fine-1", _chain()),
            _submission("cycle", cycle),
            _submission("nobody", spec(("a", "nobody", "x", []))),
            _submission("blank", blank),
            pb.TaskSubmission(request_id="no-task"),
            _submission("", _chain()),
            _submission("x" * 129, _chain()),
            _submission("taken", spec(("other", "noop", "x", []))),
            _submission("fine-2", _chain()),
        ],
    )
    reasons = {
        "cycle": ErrorReason.ERROR_REASON_INVALID_PLAN,
        "nobody": ErrorReason.ERROR_REASON_UNKNOWN_AGENT,
        "blank": ErrorReason.ERROR_REASON_INVALID_REQUEST,
        "no-task": ErrorReason.ERROR_REASON_INVALID_REQUEST,
        "": ErrorReason.ERROR_REASON_INVALID_REQUEST,
        "x" * 129: ErrorReason.ERROR_REASON_INVALID_REQUEST,
        "taken": ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
    }
    assert {r: s.error.reason for r, s in seen.results.items() if s.HasField("error")} == reasons
    assert all(seen.results[request_id].task_id == "" for request_id in reasons)
    assert len(seen.events) == 2
    for request_id in ("fine-1", "fine-2"):
        assert kinds(seen.of(request_id))[-1] == "task_completed"


async def test_a_submission_attaches_to_an_earlier_task(stub: "Stub", agents: ScriptedAgents) -> None:
    first = await _run(stub, [_submission("early", _chain())])
    second = await _run(stub, [_submission("early", _chain()), _submission("early-end", _chain(), TERMINAL)])
    assert second.of("early") == first.of("early")
    task_id = second.results["early"].task_id
    assert len(agents.requests[task_id]) == 2

    request = pb.SubmitTaskRequest(task=_chain(), request_id="single")
    single = (await stub.SubmitTask(request)).task.task_id
    attached = await _run(stub, [_submission("single", _chain(), TERMINAL)])
    assert attached.results["single"].task_id == single
    assert kinds(attached.of("single"))[-1] == "task_completed"


async def test_the_same_submission_twice_on_a_stream_is_one_task(stub: "Stub", agents: ScriptedAgents) -> None:
    task = spec(("h", "hanging", "x", []))
    call = stub.RunTasks(timeout=60)
    seen = Seen()
    await call.write(pb.RunTasksRequest(submissions=[_submission("twin", task), _submission("twin", task)]))
    while "twin" not in seen.results:
        await _next(call, seen)
    task_id = seen.results["twin"].task_id
    await asked(agents, task_id)
    agents.gates[task_id].set()
    await call.done_writing()
    await _rest(call, seen)
    assert gap_free(seen.events[task_id])
    assert kinds(seen.events[task_id])[-1] == "task_completed"
    assert seen.events.keys() == {task_id}


async def test_the_stream_ends_when_it_is_closed_and_all_have_ended(stub: "Stub", agents: ScriptedAgents) -> None:
    call = stub.RunTasks(timeout=60)
    seen = Seen()
    await call.write(pb.RunTasksRequest(submissions=[_submission("open", spec(("h", "hanging", "x", [])))]))
    while not seen.events or kinds(next(iter(seen.events.values())))[-1] != "step_progress":
        await _next(call, seen)
    agents.gates[seen.results["open"].task_id].set()
    while kinds(seen.of("open"))[-1] != "task_completed":
        await _next(call, seen)
    assert not call.done(), "more may be submitted"

    await call.write(pb.RunTasksRequest(submissions=[_submission("more", _chain())]))
    await call.done_writing()
    await _rest(call, seen)
    assert gap_free(seen.of("more"))
    assert kinds(seen.of("more"))[-1] == "task_completed"
    assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_of_nothing_ends_at_once(stub: "Stub") -> None:
    assert await _run(stub) == Seen()
    assert await _run(stub, [], []) == Seen()


async def test_a_stream_that_was_cut_loses_nothing_when_it_is_sent_again(stub: "Stub", agents: ScriptedAgents) -> None:
    submissions = [
        _submission(f"cut-{n}", spec(("a", "noop", "x", []), ("h", "hanging", "x", ["a"]))) for n in range(20)
    ]
    call = stub.RunTasks(timeout=60)
    cut = Seen()
    await call.write(pb.RunTasksRequest(submissions=submissions))
    while len(cut.results) < 20:
        await _next(call, cut)
    call.cancel()
    for result in cut.results.values():
        agents.gates[result.task_id].set()

    seen = await _run(stub, submissions)
    for submission in submissions:
        assert seen.results[submission.request_id].task_id == cut.results[submission.request_id].task_id
        events = seen.of(submission.request_id)
        assert gap_free(events)
        assert kinds(events)[-1] == "task_completed"
        assert kinds(events).count("step_completed") == 2


async def test_a_message_with_too_many_submissions_ends_the_stream_with_the_reason(stub: "Stub") -> None:
    call = stub.RunTasks(timeout=30)
    await call.write(pb.RunTasksRequest(submissions=[_submission(f"over-{n}", _chain()) for n in range(1001)]))
    error = await _broken_off(call, Seen())
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == ErrorReason.ERROR_REASON_INVALID_REQUEST
    assert error.violations[0].field == "submissions"


async def test_unknown_fields_are_of_a_newer_contract_and_do_no_harm(stub: "Stub") -> None:
    field_3_is_77, field_1007 = b"\x18\x4d", b"\xfa\x3e\x02hi"
    encoded = _submission("newer", _chain()).SerializeToString()
    newer = pb.TaskSubmission.FromString(encoded + field_3_is_77 + field_1007)
    seen = await _run(stub, [newer])
    assert gap_free(seen.of("newer")), "a selection that is not known sends every event"
    assert kinds(seen.of("newer"))[-1] == "task_completed"


async def test_bytes_that_are_no_message_end_the_stream_and_nothing_else(engine: Engine, stub: "Stub") -> None:
    path = "/troupe.api.orchestrator.v1.OrchestratorService/RunTasks"
    async with engine.open() as channel:
        garbage: Any = iter([b"\xff\xff\xff no message"])
        call: Any = channel.stream_stream(path)(garbage, timeout=30)
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in call:
                pass
    assert (
        kinds((await _run(stub, [_submission("after-garbage", _chain())])).of("after-garbage"))[-1] == "task_completed"
    )


async def test_a_server_that_stops_says_so_and_another_goes_on(own: Engine, own_agents: ScriptedAgents) -> None:
    first = own.start_orchestrator()
    own.start_worker()
    await healthy(own.address)
    submission = _submission("drained", spec(("a", "noop", "x", []), ("h", "hanging", "x", ["a"])))
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        call = stub.RunTasks(timeout=60)
        seen = Seen()
        await call.write(pb.RunTasksRequest(submissions=[submission]))
        while "drained" not in seen.results:
            await _next(call, seen)
        task_id = seen.results["drained"].task_id
        await asked(own_agents, task_id, 2)
        first.terminate()
        error = await _broken_off(call, seen)
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert error.reason == ErrorReason.ERROR_REASON_SERVER_DRAINING
        assert await asyncio.to_thread(first.wait, 10) == 0

        own_agents.gates[task_id].set()
        own.start_orchestrator()
        await healthy(own.address)
        again = await _run(stub, [submission])
    assert again.results["drained"].task_id == task_id
    assert gap_free(again.of("drained"))
    assert kinds(again.of("drained"))[-1] == "task_completed"


async def test_what_is_submitted_is_kept_when_the_server_is_killed(own: Engine, own_agents: ScriptedAgents) -> None:
    first = own.start_orchestrator()
    await healthy(own.address)
    submissions = [_submission(f"kept-{n}", _chain()) for n in range(30)]
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        call = stub.RunTasks(timeout=60)
        cut = Seen()
        await call.write(pb.RunTasksRequest(submissions=submissions))
        while not cut.results:
            await _next(call, cut)
        first.kill()
        await _broken_off(call, cut)
        own.start_orchestrator()
        own.start_worker()
        await healthy(own.address)
        seen = await _run(stub, submissions)
    for request_id, result in cut.results.items():
        assert seen.results[request_id].task_id == result.task_id
    assert all(kinds(seen.of(s.request_id))[-1] == "task_completed" for s in submissions)
    assert sum(own_agents.calls.values()) == 60, "each step of each task once"


async def test_two_thousand_tasks_on_one_stream(stub: "Stub") -> None:
    submissions = [_submission(f"two-thousand-{n}", _chain(), TERMINAL if n % 2 else ALL) for n in range(2000)]
    seen = await _run(stub, *(submissions[first : first + 500] for first in range(0, 2000, 500)))
    assert len(seen.results) == len(seen.events) == 2000
    for number, submission in enumerate(submissions):
        events = seen.of(submission.request_id)
        assert kinds(events)[-1] == "task_completed"
        assert gap_free(events) or number % 2


async def test_tasks_that_other_doors_end_end_on_the_stream(stub: "Stub", agents: ScriptedAgents) -> None:
    call = stub.RunTasks(timeout=60)
    seen = Seen()
    hanging = spec(("h", "hanging", "x", []))
    await call.write(
        pb.RunTasksRequest(submissions=[_submission("c-1", hanging), _submission("c-2", hanging, TERMINAL)])
    )
    await call.done_writing()
    while len(seen.results) < 2:
        await _next(call, seen)
    for result in seen.results.values():
        await stub.CancelTask(pb.CancelTaskRequest(task_id=result.task_id, reason="enough"))
    await _rest(call, seen)
    assert all(seen.of(request_id)[-1].task_cancelled.reason == "enough" for request_id in ("c-1", "c-2"))


async def test_a_session_whose_client_does_not_read_takes_no_more_and_loses_nothing(
    engine: Engine, agents: ScriptedAgents
) -> None:
    channel = grpc.aio.insecure_channel(engine.address, options=[("grpc.http2.bdp_probe", 0)])  # a window of 64 KiB
    call = OrchestratorServiceStub(channel).RunTasks()
    refused = spec(("s", "nobody", "x" * 4_000, []))  # 32 MiB of them, so that they do not fit into windows
    submissions = [_submission(f"unread {number}", refused) for number in range(8_000)]
    written = 0

    async def write() -> None:
        nonlocal written
        for start in range(0, len(submissions), 50):
            await call.write(pb.RunTasksRequest(submissions=submissions[start : start + 50]))
            written += 50
        await call.done_writing()

    writing = asyncio.create_task(write())
    seen, quiet_since = 0, asyncio.get_running_loop().time()

    def stands_still() -> bool:
        nonlocal seen, quiet_since
        if written != seen:
            seen, quiet_since = written, asyncio.get_running_loop().time()
        return asyncio.get_running_loop().time() - quiet_since > 1

    await reached(stands_still, timeout_seconds=60)
    assert 500 <= written < 7_500
    answered: list[str] = []
    async for response in call:
        answered += [result.request_id for result in response.results]
    await writing
    await channel.close()
    assert sorted(answered) == sorted(submission.request_id for submission in submissions)
