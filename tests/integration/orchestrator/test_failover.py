"""A Redis Cluster loses a master, or hands one over, while tasks run in every partition and are watched."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from tests.support.engine import Engine, healthy, history, kinds, spec, submit
from tests.support.processes import until
from tests.support.redis_cluster import ClusterNode, RedisCluster
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.errors import TroupeError
from troupe.orchestrator.store.partitions import Partitions

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARTITIONS = Partitions(8)
# On the master that is lost: partition 0 and others.
LOST = f"{PARTITIONS.prefix(0)}:"
# Begins, speaks, waits for its gate, and fans out and in again.
WATCHED = spec(
    ("t", "talker", "a b c", []),
    ("h", "hanging", "x", ["t"]),
    *((f"m{number}", "chatty", "20 50", ["h"]) for number in range(4)),
    ("end", "noop", "x", [f"m{number}" for number in range(4)]),
)


@pytest.fixture
def cluster(redis_cluster: RedisCluster) -> Iterator[RedisCluster]:
    redis_cluster.reset()
    yield redis_cluster
    redis_cluster.start()


@pytest.fixture
def own(cluster: RedisCluster, tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(cluster, tmp_path)
    with engine.stack:
        yield engine


@asynccontextmanager
async def running(engine: Engine, *, replicas: int) -> "AsyncIterator[Stub]":
    """An orchestrator and two workers that wait for so many replicas."""
    waits = {"WAIT_REPLICAS": str(replicas), "WAIT_TIMEOUT_MS": "1000"}
    engine.start_orchestrator(**{f"TROUPE_ORCHESTRATOR__{name}": value for name, value in waits.items()})
    for _ in range(2):
        engine.start_worker(**{f"TROUPE_WORKER__{name}": value for name, value in waits.items()})
    await healthy(engine.address)
    async with engine.open() as channel:
        yield OrchestratorServiceStub(channel)


async def submit_everywhere(stub: "Stub", tasks: int = 16) -> list[str]:
    """Tasks in every partition."""
    task_ids = await asyncio.gather(*(submit(stub, WATCHED) for _ in range(tasks)))
    while {PARTITIONS.of_task(task_id) for task_id in task_ids} != set(PARTITIONS.all()):
        task_ids.append(await submit(stub, WATCHED))
    return task_ids


async def watch(stub: "Stub", task_id: str) -> list[TaskEvent]:
    """The whole history as a watcher sees it who comes again at its cursor whenever its stream breaks."""
    seen: list[TaskEvent] = []
    while not seen or kinds(seen)[-1] not in {"task_completed", "task_failed"}:
        cursor = seen[-1].sequence if seen else 0
        try:
            async for response in stub.WatchTask(pb.WatchTaskRequest(task_id=task_id, after_sequence=cursor)):
                seen += [event for event in response.events if event.sequence]
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)
    return seen


async def all_wait(agents: ScriptedAgents, task_ids: Sequence[str]) -> None:
    """Returns once every task's `h` runs."""

    async def reached() -> bool:
        return all(any(r.step_id == "h" for r in agents.requests[task_id]) for task_id in task_ids)

    await until(reached)


async def check(stub: "Stub", task_ids: Sequence[str], watched: Sequence[Sequence[TaskEvent]]) -> None:
    """Every task completed, each step once, and its watcher saw the stored history, which has no gap."""
    for task_id, seen in zip(task_ids, watched, strict=True):
        stored = await history(stub, task_id)
        assert seen == stored
        assert [event.sequence for event in stored] == list(range(1, len(stored) + 1))
        completed = [event.step_completed.step_id for event in stored if event.HasField("step_completed")]
        assert sorted(completed) == sorted(step.step_id for step in WATCHED.plan.steps)
        assert kinds(stored)[-1] == "task_completed"


async def takes_over(cluster: RedisCluster, old: ClusterNode) -> None:
    async def changed() -> bool:
        return cluster.master_of(LOST) is not old

    await until(changed)


async def test_a_killed_master_loses_nothing_that_a_replica_has_acknowledged(
    cluster: RedisCluster, own: Engine, own_agents: ScriptedAgents
) -> None:
    async with running(own, replicas=1) as stub:
        task_ids = await submit_everywhere(stub)
        watchers = [asyncio.create_task(watch(stub, task_id)) for task_id in task_ids]
        await all_wait(own_agents, task_ids)
        old = cluster.master_of(LOST)
        for task_id in task_ids[::2]:
            own_agents.gates[task_id].set()  # half of the tasks go on while the master dies
        old.kill()
        await takes_over(cluster, old)
        old.start()  # the replica that took over has nobody to acknowledge its writes until then
        for task_id in task_ids:
            own_agents.gates[task_id].set()
        await check(stub, task_ids, await asyncio.gather(*watchers))
        new = await submit_everywhere(stub)
        for task_id in new:
            own_agents.gates[task_id].set()
        await check(stub, new, [await watch(stub, task_id) for task_id in new])
    await _joins_as_replica(old)


async def test_a_manual_failover_loses_nothing(cluster: RedisCluster, own: Engine, own_agents: ScriptedAgents) -> None:
    async with running(own, replicas=0) as stub:
        task_ids = await submit_everywhere(stub)
        watchers = [asyncio.create_task(watch(stub, task_id)) for task_id in task_ids]
        await all_wait(own_agents, task_ids)
        old = cluster.master_of(LOST)
        for task_id in task_ids:
            own_agents.gates[task_id].set()
        cluster.replica_of(LOST).ask("CLUSTER", "FAILOVER")
        await takes_over(cluster, old)
        await check(stub, task_ids, await asyncio.gather(*watchers))
    await _joins_as_replica(old)


async def test_tasks_of_other_masters_go_on_while_one_is_gone(
    cluster: RedisCluster, own: Engine, own_agents: ScriptedAgents
) -> None:
    """Replication is asynchronous without `wait_replicas`: only tasks whose master lives are promised their history."""
    async with running(own, replicas=0) as stub:
        task_ids = await submit_everywhere(stub)
        old = cluster.master_of(LOST)
        others = [task_id for task_id in task_ids if cluster.master_of(_key(task_id)) is not old]
        assert 0 < len(others) < len(task_ids)
        watchers = [asyncio.create_task(watch(stub, task_id)) for task_id in others]
        await all_wait(own_agents, task_ids)
        old.kill()
        for task_id in task_ids:
            own_agents.gates[task_id].set()
        await check(stub, others, await asyncio.gather(*watchers))
        await takes_over(cluster, old)
        ends = await asyncio.gather(*(watch(stub, task_id) for task_id in task_ids))
        assert {kinds(events)[-1] for events in ends} == {"task_completed"}


async def test_masters_that_are_full_are_waited_for(
    cluster: RedisCluster, own: Engine, own_agents: ScriptedAgents
) -> None:
    async with running(own, replicas=0) as stub:
        task_ids = await submit_everywhere(stub)
        watchers = [asyncio.create_task(watch(stub, task_id)) for task_id in task_ids]
        await all_wait(own_agents, task_ids)
        try:
            _limit_memory(cluster, 1)
            for task_id in task_ids:
                own_agents.gates[task_id].set()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await submit(stub, WATCHED)
            assert TroupeError.from_rpc(refused.value).reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
        finally:
            _limit_memory(cluster, 0)
        await check(stub, task_ids, await asyncio.gather(*watchers))


def _limit_memory(cluster: RedisCluster, max_bytes: int) -> None:
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "maxmemory", max_bytes)


def _key(task_id: str) -> str:
    return f"{PARTITIONS.prefix(PARTITIONS.of_task(task_id) or 0)}:"


async def _joins_as_replica(node: ClusterNode) -> None:
    async def replicates() -> bool:
        role = node.ask("ROLE")
        return bool(role[0] == b"slave" and role[3] == b"connected")

    await until(replicates)
