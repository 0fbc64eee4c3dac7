"""What watchers are promised: the whole history once, whoever else watches, however slowly they read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import msgpack
import pytest

from tests.support.engine import Engine, events_of, healthy, history, kinds, spec, submit
from tests.support.processes import stop, until
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.core.errors import TroupeError
from troupe.local.launch import free_port
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import TaskRow, unpack

pytestmark = pytest.mark.asyncio(loop_scope="module")

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub


def chatty(times: int, size: int) -> TaskSpec:
    """A task that reports so many times in so many characters."""
    return spec(("c", "chatty", f"{times} {size}", []))


def sequences(events: list[TaskEvent]) -> list[int]:
    return [event.sequence for event in events]


def key_of(task_id: str) -> str:
    partitions = Partitions(8)
    return f"{partitions.prefix(partitions.of_task(task_id) or 0)}:task:{task_id}"


@asynccontextmanager
async def another_server(engine: Engine, **settings: str) -> AsyncIterator[tuple["Stub", int]]:
    """An orchestrator with settings of its own: its stub and its process."""
    address = f"127.0.0.1:{free_port()}"
    environment = {f"TROUPE_ORCHESTRATOR__{name}": value for name, value in settings.items()}
    process = engine.start_orchestrator(address, **environment)
    try:
        await healthy(address)
        async with engine.open(address) as channel:
            yield OrchestratorServiceStub(channel), process.pid
    finally:
        stop(process)


async def error_of(call: "grpc.aio.UnaryStreamCall[pb.WatchTaskRequest, pb.WatchTaskResponse]") -> TroupeError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await events_of(call)
    return TroupeError.from_rpc(raised.value)


async def test_watchers_who_join_at_any_time_see_the_same(stub: "Stub") -> None:
    task_id = await submit(stub, chatty(4_000, 100))
    seen: list[TaskEvent] = []
    joined: list[tuple[int, asyncio.Task[list[TaskEvent]]]] = []
    async with asyncio.TaskGroup() as group:
        first = group.create_task(_collect(_watch(stub, task_id, 0), seen))
        while not first.done() and len(joined) < 60:
            after = len(seen) if len(joined) % 2 else 0
            joined.append((after, group.create_task(history(stub, task_id, after=after))))
            await asyncio.sleep(0.01)
    assert sequences(seen) == list(range(1, len(seen) + 1))
    assert kinds(seen).count("step_progress") == 4_000
    assert len({after for after, _ in joined}) > 5, "some joined while it went on"
    for after, watching in joined:
        assert watching.result() == seen[after:]
    assert await history(stub, task_id) == seen


async def _collect(
    call: "grpc.aio.UnaryStreamCall[pb.WatchTaskRequest, pb.WatchTaskResponse]", seen: list[TaskEvent]
) -> None:
    async for response in call:
        seen += [event for event in response.events if event.sequence]


async def test_slow_watchers_are_bounded_and_slow_nobody(engine: Engine, agents: ScriptedAgents) -> None:
    async with another_server(engine, WATCHER_BUFFER_BYTES="65536") as (stub, pid):
        task_id = await submit(stub, chatty(4_000, 3_000))
        slow = [stub.WatchTask(pb.WatchTaskRequest(task_id=task_id)) for _ in range(60)]
        for call in slow:
            await anext(aiter(call))
        before = _resident_bytes(pid)
        seen = await history(stub, task_id)

        assert sequences(seen) == list(range(1, len(seen) + 1))
        size = sum(event.ByteSize() for event in seen)
        assert size > 12_000_000
        assert _resident_bytes(pid) - before < 60 * size / 6, "slow watchers hold far less than the history"
        for call in slow[:3]:  # and they miss nothing once they read
            rest = await events_of(call)
            assert rest == seen[len(seen) - len(rest) :]
            assert len(rest) > 3_000
        for call in slow:
            call.cancel()


def _resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10


async def test_one_watcher_too_many_is_refused_until_there_is_room(engine: Engine, agents: ScriptedAgents) -> None:
    async with another_server(engine, MAX_WATCHERS="2") as (stub, _):
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        request = pb.WatchTaskRequest(task_id=task_id)
        first, second = stub.WatchTask(request), stub.WatchTask(request)
        await anext(aiter(first))
        await anext(aiter(second))

        error = await error_of(stub.WatchTask(request))
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.reason == ErrorReason.ERROR_REASON_QUOTA_EXCEEDED
        assert error.metadata["subject"] == "watchers"
        assert error.retry_delay is not None
        assert error.retryable

        first.cancel()

        async def taken() -> bool:
            call = stub.WatchTask(request)
            try:
                return bool(await anext(aiter(call)))
            except grpc.aio.AioRpcError:
                return False
            finally:
                call.cancel()

        await until(taken)
        agents.gates[task_id].set()
        rest = await events_of(second)
        assert kinds(rest)[-1] == "task_completed"


@pytest.mark.parametrize("live", [False, True], ids=["over", "live"])
async def test_a_cursor_older_than_what_is_kept(
    stub: "Stub", engine: Engine, agents: ScriptedAgents, live: bool
) -> None:
    task_id = await submit(stub, spec(("c", "chatty", "200 50", []), ("h", "hanging", "x", ["c"])))
    if not live:
        agents.gates[task_id].set()
    watching = stub.WatchTask(pb.WatchTaskRequest(task_id=task_id))
    events = [event async for event in _until(watching, lambda e: live and e.step_progress.message == "waits")]
    await _trim(engine, task_id, 150)

    for cursor in (0, 1, 149):
        error = await error_of(_watch(stub, task_id, cursor))
        assert error.code is grpc.StatusCode.OUT_OF_RANGE
        assert error.reason == ErrorReason.ERROR_REASON_CURSOR_OUT_OF_RANGE
        assert error.metadata["oldest_sequence"] == "151"
        assert error.metadata["newest_sequence"] == str(len(events))
        assert "use 150" in error.message
    rest = [event async for event in _until(_watch(stub, task_id, 150), lambda e: e.sequence in {0, len(events)})]
    assert rest == events[150:]
    error = await error_of(_watch(stub, task_id, len(events) + 1))
    assert error.metadata == {**error.metadata, "oldest_sequence": "151", "newest_sequence": str(len(events))}
    watching.cancel()


def _watch(
    stub: "Stub", task_id: str, after: int
) -> "grpc.aio.UnaryStreamCall[pb.WatchTaskRequest, pb.WatchTaskResponse]":
    return stub.WatchTask(pb.WatchTaskRequest(task_id=task_id, after_sequence=after))


async def _until(
    call: "grpc.aio.UnaryStreamCall[pb.WatchTaskRequest, pb.WatchTaskResponse]", last: Callable[[TaskEvent], bool]
) -> AsyncIterator[TaskEvent]:
    async for response in call:
        for event in response.events:
            if event.sequence:
                yield event
            if last(event):
                return


async def _trim(engine: Engine, task_id: str, count: int) -> None:
    redis = RedisClient(engine.redis.url)
    stored = unpack(TaskRow, await redis.execute("HGET", key_of(task_id), "task"))
    packed = msgpack.packb(stored._replace(trimmed=count))
    await redis.execute_atomically(
        [("LTRIM", f"{key_of(task_id)}:log", count, -1), ("HSET", key_of(task_id), "task", packed)]
    )
    await redis.close()


async def test_a_task_taken_up_again_is_followed_past_its_first_end(stub: "Stub") -> None:
    task_id = await submit(stub, spec(("b", "broken", "x", [])))
    before = await history(stub, task_id)
    assert kinds(before)[-1] == "task_failed"
    await stub.RetryTask(pb.RetryTaskRequest(task_id=task_id))
    rest = await events_of(stub.WatchTask(pb.WatchTaskRequest(task_id=task_id, after_sequence=len(before))))
    assert kinds(rest) == ["task_retried", "step_started", "text_delta", "step_failed", "task_failed"]
    assert await history(stub, task_id) == [*before, *rest]
