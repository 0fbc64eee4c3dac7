"""Who gets the next free place of an agent: back-pressure, priorities, and turns of projects and tasks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from tests.support.engine import Engine, calling, history, kinds, spec, submit
from tests.support.processes import reached
from tests.support.scripted_agents import ScriptedAgents
from tests.support.stored_tasks import PARTITIONS, new_task, request_id_in, storing
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import Priority, TaskSpec
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.schema import Key

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

# Messages of a partition that are in an agent's stream already keep their place; a narrow agent begins two of each.
_WINDOW = 16
# Steps in a row for which a task keeps a place, as `orchestrator.worker.worker` has it.
_STREAK = 4


def wide(agent: str, count: int) -> TaskSpec:
    """A task whose steps wait for nothing."""
    return spec(*((f"s{n}", agent, "x", ()) for n in range(count)))


def chain(agent: str, count: int) -> TaskSpec:
    """A task whose steps wait for one another."""
    return spec(*((f"s{n}", agent, "x", (f"s{n - 1}",) if n else ()) for n in range(count)))


async def test_an_agent_gets_no_more_than_it_takes_and_holds_up_no_other(
    own: Engine, own_agents: ScriptedAgents
) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with calling(own) as stub:
        slow = await submit(stub, wide("narrow", 40))
        await reached(lambda: own_agents.running["narrow"] == 2)
        quick = await submit(stub, chain("noop", 10))
        assert kinds(await history(stub, quick))[-1] == "task_completed"
        assert own_agents.most_running["narrow"] == 2
        own_agents.gates[slow].set()
        assert kinds(await history(stub, slow))[-1] == "task_completed"
    assert own_agents.most_running["narrow"] == 2
    assert own_agents.most_running["noop"] == 1


async def test_what_one_worker_has_no_room_for_another_takes(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with calling(own) as stub:
        slow = await submit(stub, wide("narrow", 20))
        await reached(lambda: own_agents.running["narrow"] == 2)
        own.start_worker()
        await reached(lambda: own_agents.running["narrow"] == 4)
        own_agents.gates[slow].set()
        events = await history(stub, slow)
    assert kinds(events)[-1] == "task_completed"
    assert kinds(events).count("step_started") == 20
    assert own_agents.most_running["narrow"] == 4, "two of each worker"


async def test_ready_steps_of_one_agent_travel_together_and_run_at_once(
    own: Engine, own_agents: ScriptedAgents
) -> None:
    own.start_orchestrator()
    async with calling(own) as stub:
        task_id = await submit(stub, wide("hanging", 64))
        messages = await ready_messages(own, task_id, "hanging")
        assert len(messages) == 4
        entries = [entry for message in messages for entry in message.split(",")]
        assert sorted(entries) == sorted(f"s{n}@1" for n in range(64))
        own.start_worker()
        await reached(lambda: own_agents.running["hanging"] == 64)
        own_agents.gates[task_id].set()
        assert kinds(await history(stub, task_id)).count("step_completed") == 64


async def test_of_a_projects_waiting_steps_the_more_urgent_go_first(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with calling(own) as stub:
        filling = [await submit_into(stub, 3, Priority.PRIORITY_HIGH) for _ in range(2 + _WINDOW)]
        await reached(lambda: own_agents.running["narrow"] == 2)
        lower_first = [Priority.PRIORITY_LOW, Priority.PRIORITY_NORMAL, Priority.PRIORITY_HIGH]
        waiting = {await submit_into(stub, 3, priority): priority for priority in lower_first for _ in range(4)}
        for task_id in (*filling, *waiting):
            own_agents.gates[task_id].set()
        for task_id in waiting:
            await history(stub, task_id)
    order = [waiting[step.task_id] for step in own_agents.started if step.task_id in waiting]
    assert order == sorted(waiting.values(), reverse=True)


async def test_a_projects_backlog_holds_up_no_other_project(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with calling(own), storing(own.redis.url) as store:
        backlog = [new_task("large", wide("narrow", 1000), partition=5) for _ in range(10)]
        single = new_task("small", wide("narrow", 1), partition=5)
        for task in (*backlog, single):
            await store.submit(task)
        await reached(lambda: own_agents.running["narrow"] == 2)
        for task in (single, *backlog):
            own_agents.gates[task.task_id].set()
        await reached(lambda: bool(own_agents.requests[single.task_id]))
        turn = [step.task_id for step in own_agents.started].index(single.task_id)
        for task in backlog:
            await store.cancel(task.task_id, after_step=False, reason="enough was seen")
    assert turn <= 2 * (2 + _WINDOW)


@pytest.mark.parametrize("other", [2, 6])
async def test_a_long_task_shares_an_agents_only_place(own: Engine, own_agents: ScriptedAgents, other: int) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with calling(own), storing(own.redis.url) as store:
        long = new_task("default", chain("single", 300), partition=2)
        short = new_task("default", wide("single", 1), partition=other)
        own_agents.gates[short.task_id].set()
        await store.submit(long)
        await reached(lambda: own_agents.running["single"] == 1)
        await store.submit(short)
        own_agents.gates[long.task_id].set()
        await reached(lambda: bool(own_agents.requests[short.task_id]))
        turn = [step.task_id for step in own_agents.started].index(short.task_id)
        await store.cancel(long.task_id, after_step=False, reason="enough was seen")
    assert turn <= 5 * _STREAK


async def submit_into(stub: "Stub", partition: int, priority: Priority.ValueType) -> str:
    task = wide("narrow", 1)
    task.priority = priority
    request = pb.SubmitTaskRequest(task=task, request_id=request_id_in(partition))
    return (await stub.SubmitTask(request)).task.task_id


async def ready_messages(engine: Engine, task_id: str, agent: str) -> Sequence[str]:
    """What is in the ready stream of a task's partition: the steps of each message."""
    partition = PARTITIONS.of_task(task_id)
    assert partition is not None
    redis = RedisClient(engine.redis.url)
    rows = await redis.execute("XRANGE", PARTITIONS.key(partition, Key.READY, agent=agent), "-", "+")
    await redis.close()
    return [dict(zip(fields[::2], fields[1::2], strict=True))[b"s"].decode() for _, fields in rows]
