"""Watchers that never read, at every door: what they cost is bounded, given back, and hurts nobody.

`python -m tests.bench.never_read` is the same with 5,000 of them.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
import pytest
import pytest_asyncio

from tests.bench.never_read import DOORS, Door, Processes, append_events, deployed, never_reading
from tests.support.engine import Engine, calling, healthy, history, kinds, spec, submit
from tests.support.processes import reached, until
from tests.support.redis import RedisServer
from tests.support.scripted_agents import ScriptedAgents, scripted_agents
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub

REDIS_KINDS = ["single"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

WATCHERS = 100
# Each way in which a response waits: in gRPC, as it came over either version of HTTP, as JSON over both.
SOME = {"direct", "grpc", "grpc-web", "connect-json-2", "sse", "socket"}
# 256 KiB each, and what a process needs for its first hundred streams.
MOST_MIB = WATCHERS / 4 + 24
KEPT_MIB = 48


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes() -> AsyncIterator[Processes]:
    async with deployed(20) as processes:
        yield processes


@pytest.mark.parametrize("door", [door for door in DOORS if door.name in SOME], ids=lambda door: door.name)
async def test_a_history_of_20_mib_that_nobody_reads(processes: Processes, door: Door) -> None:
    before = await processes.settled(quiet_seconds=1)
    with never_reading(processes, door, WATCHERS) as opening:
        assert opening.stdout
        await asyncio.to_thread(opening.stdout.readline)
        during = await processes.settled(quiet_seconds=1)
        async with grpc.aio.insecure_channel(processes.addresses[0]) as channel:
            stub: Stub = OrchestratorServiceStub(channel)
            read = 0
            async for response in stub.WatchTask(pb.WatchTaskRequest(task_id=processes.task_id)):
                read += response.ByteSize()
                if read > 10 << 20:
                    break
    orchestrator, gateway, sockets = (b - a for a, b in zip(before, during, strict=True))
    assert orchestrator < MOST_MIB
    assert gateway < MOST_MIB
    assert sockets < MOST_MIB + WATCHERS  # of everybody on this machine; the kernel would keep 4 MiB each

    async def is_given_back() -> bool:
        return all(now - then < KEPT_MIB for now, then in zip(processes.mebibytes(), before, strict=True))

    await until(is_given_back)


async def test_large_events_share_their_room_and_reach_who_reads(tmp_path: Path) -> None:
    redis = RedisServer(data_dir=tmp_path)
    redis.start()
    engine = Engine(redis, tmp_path)
    with engine.stack:
        engine.stack.callback(redis.stop)
        server = engine.start_orchestrator(TROUPE_ORCHESTRATOR__LARGE_MESSAGE_BYTES=str(3 << 20))
        engine.start_worker(TROUPE_WORKER__LEASE_SECONDS="3600")
        async with scripted_agents(engine.agents_address) as agents, engine.open() as channel:
            await healthy(engine.address)
            stub: Stub = OrchestratorServiceStub(channel)
            task_id = await submit(stub, spec(("s", "hanging", "x", [])))
            await reached(lambda: bool(agents.calls))
            await append_events(redis.url, task_id, sizes=[1_000_000] * 10)
            processes = Processes(task_id, server, server, (engine.address, engine.address))
            before = await processes.settled(quiet_seconds=1)
            with never_reading(processes, DOORS[0], 12) as opening:
                assert opening.stdout
                await asyncio.to_thread(opening.stdout.readline)
                during = await processes.settled(quiet_seconds=1)
                large = 0
                async for response in stub.WatchTask(pb.WatchTaskRequest(task_id=task_id)):
                    large += sum(event.ByteSize() > 999_000 for event in response.events)
                    if large == 10:
                        break
            assert during[0] - before[0] < 60


async def test_who_is_broken_off_has_not_gone_away(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator(TROUPE_ORCHESTRATOR__LARGE_MESSAGE_BYTES="1")
    own.start_worker()
    bulky = [f"b{number}" for number in range(8)]
    task = spec(*((step, "bulky", "1000000", []) for step in bulky), ("h", "hanging", "x", []))
    async with calling(own) as stub:
        unread = stub.RunTask(pb.RunTaskRequest(task=task, on_disconnect=pb.ON_DISCONNECT_CANCEL))
        task_id = (await anext(aiter(unread))).events[0].task_id
        await reached(lambda: len(own_agents.requests[task_id]) == len(bulky) + 1)

        async def broken_off() -> bool:
            await _read_outputs(stub, task_id, len(bulky))
            return "broken off" in own.said("orchestrator")

        await until(broken_off, timeout_seconds=30)
        own_agents.gates[task_id].set()
        assert kinds(await history(stub, task_id))[-1] == "task_completed"
        unread.cancel()


async def _read_outputs(stub: "Stub", task_id: str, count: int) -> None:
    async for response in stub.WatchTask(pb.WatchTaskRequest(task_id=task_id), timeout=30):
        count -= sum(event.HasField("step_completed") for event in response.events)
        if not count:
            return
