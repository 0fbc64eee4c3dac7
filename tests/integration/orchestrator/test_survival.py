"""Killing processes loses nothing. Each test kills what the others share, and puts it back."""

import asyncio
import signal
import subprocess
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from tests.support.engine import Engine, events_of, healthy, history, kinds, spec, submit
from tests.support.processes import until
from tests.support.scripted_agents import ScriptedAgents, scripted_agents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.errors import TroupeError
from troupe.local.launch import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


@pytest_asyncio.fixture
async def agents(own: Engine) -> "AsyncIterator[ScriptedAgents]":
    async with scripted_agents(own.agents_address) as scripted:
        yield scripted


async def test_a_step_of_a_killed_worker_is_taken_over(own: Engine, agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    first = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, spec(("h", "hanging", "x", []), ("after", "noop", "x", ["h"])))
        await _attempts(agents, task_id, 1)
        own.start_worker()
        first.kill()
        await _attempts(agents, task_id, 2)
        agents.gates[task_id].set()
        events = await history(stub, task_id)
    assert [e.step_started.attempt for e in events if e.HasField("step_started")] == [1, 2, 1]
    assert kinds(events).count("step_completed") == 2
    assert kinds(events)[-1] == "task_completed"
    assert {request.idempotency_key for request in agents.requests[task_id]} == {f"{task_id}/h", f"{task_id}/after"}


async def test_a_paused_worker_that_wakes_up_changes_nothing(own: Engine, agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    first = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        await _attempts(agents, task_id, 1)
        first.send_signal(signal.SIGSTOP)
        own.start_worker()
        await _attempts(agents, task_id, 2)
        agents.gates[task_id].set()  # both attempts end now; the first worker does not hear of it yet
        before = await history(stub, task_id)
        first.send_signal(signal.SIGCONT)
        await until(lambda: _logged(own, "attempt lost"))  # the first worker has spoken, and was not heard
        assert await history(stub, task_id) == before
    assert [e.step_completed.attempt for e in before if e.HasField("step_completed")] == [2]


async def test_time_in_which_every_worker_stands_still_costs_no_lease(own: Engine, agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    worker = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, spec(*((f"h{n}", "hanging", "x", []) for n in range(8))))
        await _attempts(agents, task_id, 8)
        worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2)  # longer than a lease
        worker.send_signal(signal.SIGCONT)
        # The retries of this one show that the worker looks at the clocks again.
        flaky = await history(stub, await submit(stub, spec(("f", "flaky", "3", []))))
        assert kinds(flaky)[-1] == "task_completed"
        agents.gates[task_id].set()
        events = await history(stub, task_id)
    assert kinds(events)[-1] == "task_completed"
    assert {event.step_started.attempt for event in events if event.HasField("step_started")} == {1}


async def test_a_worker_that_is_stopped_hands_its_steps_back(own: Engine, agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    first = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        await _attempts(agents, task_id, 1)
        own.start_worker()
        first.terminate()
        assert await asyncio.to_thread(first.wait, 10) == 0
        await _attempts(agents, task_id, 2)
        agents.gates[task_id].set()
        assert kinds(await history(stub, task_id))[-1] == "task_completed"


async def test_a_worker_that_is_stopped_while_redis_is_away_ends_in_order(own: Engine, agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    worker = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        await _attempts(agents, task_id, 1)
        own.redis.kill()
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 15) == 0
        assert "Traceback" not in (own.logs / "orchestrator.worker.log").read_text()


async def test_a_worker_that_is_stopped_starts_no_step_of_a_task_that_is_being_cancelled(
    own: Engine, agents: ScriptedAgents
) -> None:
    own.start_orchestrator()
    first = own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, spec(("h", "hanging", "x", []), ("after", "noop", "x", ["h"])))
        await _attempts(agents, task_id, 1)
        await stub.CancelTask(pb.CancelTaskRequest(task_id=task_id, mode=pb.CANCEL_MODE_AFTER_STEP))
        own.start_worker()
        first.terminate()
        events = await history(stub, task_id)
    assert kinds(events)[-1] == "task_cancelled"
    assert kinds(events).count("step_started") == 1


async def test_redis_killed_in_mid_run_loses_nothing(own: Engine, agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    own.start_worker()
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        task_id = await submit(stub, spec(("h", "hanging", "x", []), ("after", "noop", "x", ["h"])))
        await _attempts(agents, task_id, 1)
        own.redis.kill()
        assert (await _error(stub, task_id)).reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
        agents.gates[task_id].set()  # the attempt ends while nothing can be recorded
        own.redis.start()
        await healthy(own.address)
        events = await history(stub, task_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert kinds(events)[-1] == "task_completed"
    assert kinds(events).count("step_completed") == 2


async def test_everything_killed_at_once_loses_nothing(own: Engine, agents: ScriptedAgents) -> None:
    processes: list[subprocess.Popen[bytes]] = [own.start_orchestrator(), own.start_worker()]
    await healthy(own.address)
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        tasks = [await submit(stub, spec(("a", "noop", "x", []), ("h", "hanging", "x", ["a"]))) for _ in range(5)]
        await _attempts(agents, tasks[-1], 2)
        for process in processes:
            process.kill()
        own.redis.kill()
        for task_id in tasks:
            agents.gates[task_id].set()
        own.redis.start()
        own.start_orchestrator()
        own.start_worker()
        await healthy(own.address)
        for task_id in tasks:
            events = await history(stub, task_id)
            assert kinds(events)[-1] == "task_completed"
            assert kinds(events).count("step_completed") == 2


async def test_the_api_starts_without_redis_says_so_and_recovers(own: Engine, agents: ScriptedAgents) -> None:
    own.redis.kill()
    own.start_orchestrator()
    own.start_worker()
    async with own.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        await until(lambda: _refused(stub))
        own.redis.start()
        await healthy(own.address)
        assert kinds(await history(stub, await submit(stub, spec(("a", "noop", "x", [])))))[-1] == "task_completed"


async def test_a_process_with_another_number_of_partitions_is_not_healthy(own: Engine, agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    await healthy(own.address)
    other = f"127.0.0.1:{free_port()}"
    own.start_orchestrator(other, TROUPE_ORCHESTRATOR__PARTITIONS="4")

    async def explained() -> bool:
        return "`partitions` is 4 here and 8 in the Redis" in (own.logs / "orchestrator.log").read_text()

    await until(explained)


async def test_a_watcher_goes_on_at_another_replica_where_its_first_one_died(
    own: Engine, agents: ScriptedAgents
) -> None:
    doomed = own.start_orchestrator()
    other = f"127.0.0.1:{free_port()}"
    own.start_orchestrator(other)
    own.start_worker()
    await healthy(own.address)
    await healthy(other)
    async with own.open() as channel, own.open(other) as second_channel:
        first: Stub = OrchestratorServiceStub(channel)
        second: Stub = OrchestratorServiceStub(second_channel)
        task_id = await submit(first, spec(("t", "talker", "a b c", []), ("h", "hanging", "x", ["t"])))
        seen: list[TaskEvent] = []
        with pytest.raises(grpc.aio.AioRpcError):
            await _watch_and_kill(first, task_id, doomed, seen)
        agents.gates[task_id].set()
        rest = await events_of(second.WatchTask(pb.WatchTaskRequest(task_id=task_id, after_sequence=seen[-1].sequence)))
        assert seen + rest == await history(second, task_id)


async def _watch_and_kill(stub: "Stub", task_id: str, server: subprocess.Popen[bytes], seen: list[TaskEvent]) -> None:
    """Watches, and kills the server once the step `h` waits."""
    async for response in stub.WatchTask(pb.WatchTaskRequest(task_id=task_id)):
        seen += [event for event in response.events if event.sequence]
        if seen[-1].HasField("step_progress") and seen[-1].step_progress.step_id == "h":
            server.kill()


async def _attempts(agents: ScriptedAgents, task_id: str, count: int) -> None:
    async def reached() -> bool:
        await asyncio.sleep(0)
        return len(agents.requests[task_id]) >= count

    await until(reached)


async def _logged(own: Engine, words: str) -> bool:
    return words in (own.logs / "orchestrator.worker.log").read_text()


async def _refused(stub: "Stub") -> bool:
    return (await _error(stub, "00")).reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE


async def _error(stub: "Stub", task_id: str) -> TroupeError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetTask(pb.GetTaskRequest(task_id=task_id.ljust(8, "0")))
    return TroupeError.from_rpc(caught.value)
