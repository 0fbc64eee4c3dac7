"""Calls of agents: many on one stream, or one each; what `troupe.agent` and the worker promise each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from tests.support.engine import Engine, healthy, history, kinds, spec, submit
from tests.support.plain_agents import framed
from tests.support.scenarios import asked, completed, holds, requests_of
from tests.support.scripted_agents import ScriptedAgents, scripted_agents
from troupe.agent import AgentServicer
from troupe.api.agent.v1 import agent_service_pb2 as agent_pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from troupe.api.common.v1.error_pb2 import Error, ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.channels import open_channel
from troupe.core.server import Drain, ServerSettings, serving

REDIS_KINDS = ["single"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

Stream = grpc.aio.StreamStreamCall[agent_pb.ExecuteManyRequest, agent_pb.ExecuteManyResponse]


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[ScriptedAgents, Drain, str]]:
    """A server of agents that the test drains itself."""
    agents, drain = ScriptedAgents(), Drain()
    services = {"troupe.api.agent.v1.AgentService": lambda server: AgentServicer(agents, drain=drain).add_to(server)}
    settings = ServerSettings(listen="127.0.0.1:0", grace_seconds=5)
    async with serving(settings, drain=drain, services=services, dependencies={}) as address:
        yield agents, drain, address


class _Caller:
    """The worker's side of `ExecuteMany`, by hand."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.events: dict[int, list[agent_pb.StepCallEvent]] = {}
        self.ended = False

    async def send(self, *calls: agent_pb.StepCall) -> None:
        await self.stream.write(agent_pb.ExecuteManyRequest(calls=calls))

    async def take(self) -> None:
        message = await self.stream.read()
        if not isinstance(message, agent_pb.ExecuteManyResponse):
            self.ended = True
            return
        for event in message.events:
            self.events.setdefault(event.call_id, []).append(event)

    async def to_the_end(self) -> None:
        async with asyncio.timeout(5):
            while not self.ended:
                await self.take()

    async def to_the_end_of(self, call_id: int) -> agent_pb.StepCallEvent:
        async with asyncio.timeout(5):
            while not (events := self.events.get(call_id)) or not _is_last(events[-1]):
                assert not self.ended, f"the stream ended before call {call_id}"
                await self.take()
        return events[-1]

    def error(self, call_id: int) -> Error:
        return self.events[call_id][-1].error


def _is_last(event: agent_pb.StepCallEvent) -> bool:
    return event.HasField("error") or event.response.WhichOneof("event") in {"output", "delegate"}


@asynccontextmanager
async def _calling(address: str) -> AsyncIterator[_Caller]:
    async with open_channel(address, retries=False) as channel:
        stub: AgentServiceAsyncStub = AgentServiceStub(channel)
        stream = stub.ExecuteMany()
        yield _Caller(stream)
        stream.cancel()


def _start(call_id: int, agent: str, instruction: str = "x", *, seconds: float = 60) -> agent_pb.StepCall:
    request = agent_pb.ExecuteRequest(
        task_id=f"task-{call_id}",
        step_id="s",
        agent=agent,
        attempt=1,
        idempotency_key=f"task-{call_id}/s",
        project="default",
        instruction=instruction,
    )
    start = agent_pb.StartCall(request=request)
    start.timeout.FromMilliseconds(int(seconds * 1000))
    return agent_pb.StepCall(call_id=call_id, start=start)


def _cancel(call_id: int) -> agent_pb.StepCall:
    return agent_pb.StepCall(call_id=call_id, cancel=agent_pb.CancelCall())


async def test_two_hundred_calls_run_at_once_on_one_stream() -> None:
    async with _server() as (agents, _, address), _calling(address) as caller:
        await caller.send(*(_start(number, "hanging") for number in range(200)))
        await holds(lambda: agents.running["hanging"] == 200)
        for number in reversed(range(200)):
            agents.gates[f"task-{number}"].set()
        await caller.stream.done_writing()
        await caller.to_the_end()
    assert len(caller.events) == 200
    assert all(events[-1].response.output.text == "let go" for events in caller.events.values())


async def test_cancelling_a_call_reaches_its_agent_and_no_other() -> None:
    async with _server() as (agents, _, address), _calling(address) as caller:
        await caller.send(_start(1, "hanging"), _start(2, "hanging"))
        await holds(lambda: agents.running["hanging"] == 2)
        await caller.send(_cancel(1))
        await holds(lambda: agents.cancelled == ["task-1"])
        await caller.send(_cancel(1), _cancel(99))  # what has ended, or never was, cannot be cancelled
        agents.gates["task-2"].set()
        assert (await caller.to_the_end_of(2)).response.output.text == "let go"
        assert not any(_is_last(event) for event in caller.events[1]), "nothing follows a cancelled call"


async def test_the_end_of_the_stream_cancels_every_call() -> None:
    async with _server() as (agents, _, address):
        async with _calling(address) as caller:
            await caller.send(_start(1, "hanging"), _start(2, "hanging"))
            await holds(lambda: agents.running["hanging"] == 2)
        await holds(lambda: sorted(agents.cancelled) == ["task-1", "task-2"])


async def test_a_call_past_its_deadline_ends() -> None:
    async with _server() as (agents, _, address), _calling(address) as caller:
        await caller.send(_start(1, "hanging", seconds=0.2))
        await caller.to_the_end_of(1)
        assert caller.error(1).reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
        assert "0.2 s" in caller.error(1).message
        assert agents.cancelled == ["task-1"]


@pytest.mark.parametrize("exception", ["ValueError", "KeyError", "OSError"])
async def test_an_agent_that_fails_tells_no_more_than_the_kind_of_its_failure(exception: str) -> None:
    async with _server() as (_, _, address), _calling(address) as caller:
        await caller.send(_start(1, "raising", exception), _start(2, "noop"))
        await caller.to_the_end_of(1)
        error = caller.error(1)
        assert error.reason == ErrorReason.ERROR_REASON_AGENT_FAILED
        assert exception in error.message
        assert "secret words" not in error.message
        assert "Traceback" not in error.message
        assert (await caller.to_the_end_of(2)).response.output.text == "s()"


async def test_a_timeout_inside_an_agent_is_not_the_deadline_of_its_step() -> None:
    async with _server() as (_, _, address), _calling(address) as caller:
        await caller.send(_start(1, "raising", "TimeoutError"))
        await caller.to_the_end_of(1)
        assert caller.error(1).reason == ErrorReason.ERROR_REASON_AGENT_FAILED


async def test_an_agent_that_cancels_itself_has_failed() -> None:
    async with _server() as (_, _, address), _calling(address) as caller:
        await caller.send(_start(1, "raising", "CancelledError"))
        await caller.to_the_end_of(1)
        assert caller.error(1).reason == ErrorReason.ERROR_REASON_AGENT_FAILED


async def test_a_call_that_breaks_the_rules_is_refused() -> None:
    async with _server() as (agents, _, address), _calling(address) as caller:
        await caller.send(_start(1, "noop", ""), _start(2, "speechless"))
        await caller.to_the_end_of(1)
        await caller.to_the_end_of(2)
        assert caller.error(1).reason == ErrorReason.ERROR_REASON_INVALID_REQUEST
        assert caller.error(2).reason == ErrorReason.ERROR_REASON_AGENT_FAILED
        assert agents.requests.keys() == {"task-2"}


async def test_a_server_that_stops_lets_calls_end_and_takes_no_more() -> None:
    async with _server() as (agents, drain, address), _calling(address) as caller:
        await caller.send(_start(1, "hanging"))
        await holds(lambda: agents.running["hanging"] == 1)
        drain.start()
        await caller.send(_start(2, "noop"))
        await caller.to_the_end_of(2)
        error = caller.error(2)
        assert (error.reason, error.retryable) == (ErrorReason.ERROR_REASON_SERVER_DRAINING, True)
        assert not agents.requests["task-2"]
        agents.gates["task-1"].set()
        assert (await caller.to_the_end_of(1)).response.output.text == "let go"
        await caller.to_the_end()
        assert await caller.stream.code() is grpc.StatusCode.OK


async def test_a_call_that_is_cancelled_as_it_starts_does_not_hold_up_the_end() -> None:
    async with _server() as (_, _, address), _calling(address) as caller:
        await caller.send(_start(1, "hanging"), _cancel(1), _start(2, "noop"))
        assert (await caller.to_the_end_of(2)).response.output.text == "s()"
        await caller.stream.done_writing()
        await caller.to_the_end()


@pytest.mark.parametrize("multiplexed", [True, False])
async def test_tasks_run_alike_with_both_kinds_of_servers(own: Engine, multiplexed: bool) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with scripted_agents(own.agents_address, multiplexed=multiplexed) as agents, own.open() as channel:
        await healthy(own.address)
        stub: Stub = OrchestratorServiceStub(channel)
        chain = await submit(stub, spec(("f", "flaky", "2", []), ("t", "talker", "one two", ["f"])))
        broken = await submit(stub, spec(("b", "broken", "x", [])))
        late = spec(("h", "hanging", "x", []))
        late.plan.steps[0].timeout.FromMilliseconds(200)
        late.plan.steps[0].retry_policy.max_attempts = 1
        overdue = await submit(stub, late)
        hanging = await submit(stub, spec(("h", "hanging", "x", [])))
        await asked(agents, hanging)
        await stub.CancelTask(pb.CancelTaskRequest(task_id=hanging))
        await holds(lambda: hanging in agents.cancelled)

        assert completed(await history(stub, chain)) == {"f": "attempt 2", "t": "one two"}
        assert await _reason(stub, broken) == ErrorReason.ERROR_REASON_MODEL_REFUSED
        assert await _reason(stub, overdue) == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
        await holds(lambda: overdue in agents.cancelled)


@pytest.mark.parametrize("multiplexed", [True, False])
async def test_an_agent_that_fails_has_failed_over_both_kinds_of_calls(own: Engine, multiplexed: bool) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with scripted_agents(own.agents_address, multiplexed=multiplexed), own.open() as channel:
        await healthy(own.address)
        stub: Stub = OrchestratorServiceStub(channel)
        task = spec(("r", "raising", "ValueError", []))
        task.plan.steps[0].retry_policy.max_attempts = 1
        assert await _reason(stub, await submit(stub, task)) == ErrorReason.ERROR_REASON_AGENT_FAILED


@pytest.mark.parametrize("multiplexed", [True, False])
async def test_a_server_that_goes_away_in_a_call_is_asked_again_when_it_is_back(own: Engine, multiplexed: bool) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        async with scripted_agents(own.agents_address, multiplexed=multiplexed) as agents:
            await healthy(own.address)
            task_id = await submit(stub, spec(("h", "hanging", "x", []), ("n", "noop", "x", ["h"])))
            await asked(agents, task_id)
        async with scripted_agents(own.agents_address, multiplexed=multiplexed) as agents:
            agents.gates[task_id].set()
            events = await history(stub, task_id)
        assert kinds(events)[-1] == "task_completed"
        failures = [event.step_failed for event in events if event.HasField("step_failed")]
        assert failures
        assert all(failure.will_retry for failure in failures)
        assert requests_of(agents, task_id, "h")[0].attempt == len(failures) + 1


async def _reason(stub: "Stub", task_id: str) -> "ErrorReason.ValueType":
    return (await history(stub, task_id))[-1].task_failed.error.reason


async def test_a_call_that_cannot_be_read_is_refused_and_no_other() -> None:
    async with _server() as (agents, _, address), open_channel(address, retries=False) as channel:
        calls: Any = channel.stream_stream("/troupe.api.agent.v1.AgentService/ExecuteMany")
        stream = calls()
        good = [framed(1, _start(number, "noop").SerializeToString()) for number in (1, 2)]
        poisoned = [
            framed(1, b"\x08\x0a" + framed(2, framed(1, framed(1, b"\xff\xfe")))),
            framed(1, b"\x08\x0b\x12\x20ab"),
        ]
        await stream.write(good[0] + poisoned[0] + poisoned[1] + good[1] + framed(1, b"\x08\x0c"))
        events: dict[int, agent_pb.StepCallEvent] = {}
        async with asyncio.timeout(5):
            while len(events) < 4:
                for event in agent_pb.ExecuteManyResponse.FromString(await stream.read()).events:
                    events[event.call_id] = event
        assert [events[number].response.output.text for number in (1, 2)] == ["s()", "s()"]
        assert [events[number].error.reason for number in (10, 11)] == [ErrorReason.ERROR_REASON_INVALID_REQUEST] * 2
        await stream.write(b"\xff\xff")
        async with asyncio.timeout(5):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await stream.read()
        assert ended.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert agents.requests.keys() == {"task-1", "task-2"}
