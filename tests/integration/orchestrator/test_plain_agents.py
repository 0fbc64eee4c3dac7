"""Agents that know nothing of Troupe but its contract: their statuses, and what they send instead of answers."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2

from tests.support.engine import Engine, calling, history, kinds, spec, submit
from tests.support.plain_agents import DONE, Answer, PlainAgents, framed, plain_agents
from tests.support.redis import RedisServer
from tests.support.scenarios import completed, holds, started
from troupe.api.agent.v1 import agent_service_pb2 as agent_pb
from troupe.api.common.v1.content_pb2 import Passage, StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import StepFailed, TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.local.launch import free_port

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

REDIS_KINDS = ["single"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
both_ways = pytest.mark.parametrize("multiplexed", [True, False])

# What each code of a server means that knows nothing of us, and whether the step is tried again.
CODES: Final[Mapping[grpc.StatusCode, tuple[str, bool]]] = {
    grpc.StatusCode.CANCELLED: ("AGENT_UNAVAILABLE", True),
    grpc.StatusCode.UNKNOWN: ("AGENT_FAILED", True),
    grpc.StatusCode.INVALID_ARGUMENT: ("INVALID_REQUEST", False),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("DEADLINE_EXCEEDED", True),
    grpc.StatusCode.NOT_FOUND: ("AGENT_FAILED", False),
    grpc.StatusCode.ALREADY_EXISTS: ("AGENT_FAILED", False),
    grpc.StatusCode.PERMISSION_DENIED: ("AGENT_FAILED", False),
    grpc.StatusCode.UNAUTHENTICATED: ("AGENT_FAILED", False),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("QUOTA_EXCEEDED", True),
    grpc.StatusCode.FAILED_PRECONDITION: ("AGENT_FAILED", False),
    grpc.StatusCode.ABORTED: ("AGENT_FAILED", True),
    grpc.StatusCode.OUT_OF_RANGE: ("AGENT_FAILED", False),
    grpc.StatusCode.UNIMPLEMENTED: ("NOT_IMPLEMENTED", False),
    grpc.StatusCode.INTERNAL: ("AGENT_FAILED", True),
    grpc.StatusCode.UNAVAILABLE: ("AGENT_UNAVAILABLE", True),
    grpc.StatusCode.DATA_LOSS: ("AGENT_FAILED", False),
}


@dataclass
class Served:
    """An engine, and a server of agents for each way to call them: the one of `many`, the other of `alone`."""

    engine: Engine
    stub: "Stub"
    servers: Mapping[bool, PlainAgents]

    async def histories(self, multiplexed: bool, answers: Mapping[str, Sequence[Answer]]) -> dict[str, list[TaskEvent]]:
        """Has each step done by an agent that answers so, at most twice."""
        self.servers[multiplexed].answers.update(answers)
        ids = {name: await submit(self.stub, asking(multiplexed, name)) for name in answers}
        return {name: await history(self.stub, task_id) for name, task_id in ids.items()}


def asking(multiplexed: bool, instruction: str) -> TaskSpec:
    task = spec(("s", "many" if multiplexed else "alone", instruction, []))
    task.plan.steps[0].retry_policy.max_attempts = 2
    return task


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """With a Redis of its own: what is remembered of these agents is nobody else's."""
    folder = tmp_path_factory.mktemp("plain")
    redis = RedisServer(data_dir=folder)
    redis.start()
    engine = Engine(redis, folder)
    engine.stack.callback(redis.stop)
    alone = f"127.0.0.1:{free_port()}"
    both = f'["{engine.agents_address}", "{alone}"]'
    servers = {True: PlainAgents({}, names=["many"], multiplexed=True), False: PlainAgents({}, names=["alone"])}
    with engine.stack:
        engine.start_orchestrator(TROUPE_ORCHESTRATOR__AGENTS=both)
        engine.start_worker(TROUPE_WORKER__AGENTS=both)
        async with (
            plain_agents(engine.agents_address, servers[True]),
            plain_agents(alone, servers[False]),
            calling(engine) as stub,
        ):
            yield Served(engine, stub, servers)


def _failures(events: Sequence[TaskEvent]) -> list[StepFailed]:
    return [event.step_failed for event in events if event.HasField("step_failed")]


@both_ways
async def test_every_status_is_what_grpc_says_it_is(served: Served, multiplexed: bool) -> None:
    found = await served.histories(multiplexed, {code.name: [Answer(code=code)] for code in CODES})
    for code, (reason, retryable) in CODES.items():
        first = _failures(found[code.name])[0]
        assert (ErrorReason.Name(first.error.reason), first.will_retry) == (f"ERROR_REASON_{reason}", retryable), code
        assert kinds(found[code.name])[-1] == ("task_completed" if retryable else "task_failed"), code


@both_ways
async def test_a_delay_alone_asks_to_come_back_and_is_kept(served: Served, multiplexed: bool) -> None:
    wait = error_details_pb2.RetryInfo()
    wait.retry_delay.FromTimedelta(timedelta(milliseconds=300))
    codes = [code for code in CODES if code is not grpc.StatusCode.CANCELLED]  # such a server is taken for gone
    found = await served.histories(
        multiplexed, {f"{code.name} later": [Answer(code=code, details=[wait])] for code in codes}
    )
    for name, events in found.items():
        (failure,) = _failures(events)
        assert failure.will_retry, name
        assert failure.retry_delay.ToTimedelta() >= timedelta(milliseconds=300), name
        assert completed(events) == {"s": "done"}, name


@both_ways
async def test_a_message_that_is_too_large_is_not_sent_again(served: Served, multiplexed: bool) -> None:
    words = "grpc: received message larger than max (5242880 vs. 4194304)"
    large = Answer(code=grpc.StatusCode.RESOURCE_EXHAUSTED, message=words)
    (failure,) = _failures((await served.histories(multiplexed, {"large": [large]}))["large"])
    assert (failure.error.reason, failure.will_retry) == (ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE, False)


def _response(field_number: int, body: bytes) -> bytes:
    return framed(field_number, body)


def _arguments(number: float) -> bytes:
    started = agent_pb.ToolStarted(call_id="1", tool="t")
    started.arguments.update({"deep": [{"x": [number]}]})
    return agent_pb.ExecuteResponse(tool_started=started).SerializeToString()


def _without_kind() -> bytes:
    started = agent_pb.ToolStarted(call_id="1", tool="t")
    started.arguments.fields["x"].SetInParent()
    return agent_pb.ExecuteResponse(tool_started=started).SerializeToString()


def _lasting(seconds: int, nanos: int) -> bytes:
    finished = agent_pb.ToolFinished(call_id="1", tool="t")
    finished.duration.seconds, finished.duration.nanos = seconds, nanos
    return agent_pb.ExecuteResponse(tool_finished=finished).SerializeToString()


def _scored(score: float) -> bytes:
    output = StepOutput(text="x", passages=[Passage(passage_id="p", score=score)])
    return agent_pb.ExecuteResponse(output=output).SerializeToString()


_NAN = agent_pb.ExecuteResponse(progress=agent_pb.Progress(message="x", fraction=math.nan)).SerializeToString()
_FOREIGN = status_pb2.Status(code=14, message="words")
_FOREIGN.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff\xff")
GARBAGE: Final[Mapping[str, Answer]] = {
    "text that is no utf-8": Answer([_response(2, framed(1, b"\xff\xfe")), DONE]),
    "output that is no utf-8": Answer([_response(7, framed(1, b"caf\xe9"))]),
    "cut off": Answer([b"\x3a\x20ab"]),
    "a group that nobody closes": Answer([b"\x0b\x0b\x0b"]),
    "no content": Answer([b"", DONE]),
    "a newer event": Answer([_response(15, b"x"), DONE]),
    "a fraction that is no number": Answer([_NAN, DONE]),
    "an endless argument": Answer([_arguments(math.inf), DONE]),
    "an argument that is no number": Answer([_arguments(math.nan), DONE]),
    "an argument without a kind": Answer([_without_kind(), DONE]),
    "a duration that is none": Answer([_lasting(1, -5), DONE]),
    "a duration without an end": Answer([_lasting(2**62, 0), DONE]),
    "a score that is no number": Answer([_scored(-math.inf)]),
    "two results": Answer([DONE, DONE]),
    "words behind the result": Answer([DONE, _response(2, framed(1, b"more"))]),
    "no result": Answer([_response(2, framed(1, b"words"))]),
    "details that are no message": Answer(code=grpc.StatusCode.UNAVAILABLE, raw_details=b"\xff\xff\xff"),
    "details that lie": Answer(code=grpc.StatusCode.UNAVAILABLE, raw_details=_FOREIGN.SerializeToString()),
}
# A call of many ends with an event, and has no status of its own.
_ONLY_ALONE: Final = {"no result"}


def _garbage(multiplexed: bool) -> Mapping[str, Answer]:
    return {name: answer for name, answer in GARBAGE.items() if not (multiplexed and name in _ONLY_ALONE)}


@both_ways
async def test_garbage_fails_its_attempt_and_no_other(served: Served, multiplexed: bool) -> None:
    agents = served.servers[multiplexed]
    good = {f"good {number}": [Answer([DONE], waits=True)] for number in range(40)}
    agents.answers.update(good)
    tasks = {name: await submit(served.stub, asking(multiplexed, name)) for name in good}
    await holds(lambda: all(agents.asked[name] for name in good))
    found = await served.histories(multiplexed, {name: [answer] * 2 for name, answer in _garbage(multiplexed).items()})
    agents.gate.set()
    kept = {name: await history(served.stub, task_id) for name, task_id in tasks.items()}
    for name, events in found.items():
        reasons = [failure.error.reason for failure in _failures(events)]
        assert reasons == [ErrorReason.ERROR_REASON_AGENT_FAILED] * 2, name
        assert [number for _, number in started(events)] == [1, 2], name
        assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_AGENT_FAILED, name
        assert "Traceback" not in events[-1].task_failed.error.message, name
    for name, events in kept.items():
        assert (completed(events), started(events)) == ({"s": "done"}, [("s", 1)]), name
    assert "dropped" not in served.engine.said()


@both_ways
async def test_an_agent_that_mends_its_ways_is_forgiven(served: Served, multiplexed: bool) -> None:
    once = {f"once {name}": [answer] for name, answer in _garbage(multiplexed).items()}
    for name, events in (await served.histories(multiplexed, once)).items():
        assert completed(events) == {"s": "done"}, name


@pytest.mark.parametrize("how", ["ended", "garbled"])
async def test_a_call_that_breaks_its_stream_fails_alone(own: Engine, how: str) -> None:
    """Nobody can say which of the calls it was: each goes on by a call of its own."""
    poison = Answer([_response(7, framed(1, b"\xff"))])
    progress = agent_pb.ExecuteResponse(progress=agent_pb.Progress(message="begun")).SerializeToString()
    agents = PlainAgents({"poison": [poison] * 9}, multiplexed=True, names=["many"])
    (agents.breaks_stream if how == "ended" else agents.garbles_stream).add("poison")
    silent = {f"silent {number}": [Answer([DONE], waits=True)] * 2 for number in range(20)}
    talking = {f"talking {number}": [Answer([progress, DONE], waits=True)] * 2 for number in range(20)}
    agents.answers |= silent | talking
    agents.begins |= set(talking)
    own.start_orchestrator()
    own.start_worker()
    async with plain_agents(own.agents_address, agents), calling(own) as stub:
        tasks = {name: await submit(stub, asking(True, name)) for name in (*silent, *talking)}
        await holds(lambda: all(agents.asked[name] for name in tasks))
        poisoned = await history(stub, await submit(stub, asking(True, "poison")))
        await holds(lambda: all(agents.alone[name] for name in tasks))
        agents.gate.set()
        found = {name: await history(stub, task_id) for name, task_id in tasks.items()}
    assert [each.error.reason for each in _failures(poisoned)] == [ErrorReason.ERROR_REASON_AGENT_FAILED] * 2
    for name, events in found.items():
        assert completed(events) == {"s": "done"}, name
        assert not _failures(events), name
