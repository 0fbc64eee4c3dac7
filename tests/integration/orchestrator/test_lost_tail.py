"""Redis comes back without its last writes: who saw what was lost is told, and who did not goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tests.support.engine import Engine, calling, events_of, spec, submit
from tests.support.processes import until
from tests.support.redis import RedisServer
from tests.support.scenarios import asked, resolve
from tests.support.scripted_agents import ScriptedAgents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.client import TroupeClient
from troupe.core.errors import TroupeError

REDIS_KINDS = ["single"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


def _log_file(folder: Path) -> Path:
    """The append-only file that is written to: one, or since Redis 7 the newest of a folder."""
    return max(folder.rglob("*.aof*"), key=lambda path: (path.suffix == ".aof", ".incr." in path.name, path.name))


def _lose(redis: RedisServer, log: Path, kept_bytes: int) -> None:
    """Redis ends, and comes back with no more than so many bytes of its log."""
    redis.kill()
    with log.open("r+b") as file:
        file.truncate(kept_bytes)
    redis.start()


async def test_who_saw_what_was_lost_is_told(
    own: Engine, own_redis: RedisServer, own_agents: ScriptedAgents, tmp_path: Path
) -> None:
    own.start_orchestrator()
    own.start_worker()
    task = spec(("h", "hanging", "x", []), ("a", "noop", "x", ["h"]))
    task.plan.steps[1].requires_approval = True
    async with calling(own) as stub, TroupeClient(own.address) as client:
        session: Any = stub.RunTasks()
        await session.write(pb.RunTasksRequest(submissions=[pb.TaskSubmission(task=task, request_id="by session")]))
        task_id = await submit(stub, task)
        seen: list[TaskEvent] = []
        async with aclosing(client.watch(task_id)) as watching:
            while len(seen) < 4:
                seen.append(await anext(watching))
            followed = await _task_of(session)
            await asked(own_agents, followed)
            log = _log_file(tmp_path)
            kept_bytes = log.stat().st_size
            for name in (task_id, followed):
                own_agents.gates[name].set()
            while len(seen) < 6:
                seen.append(await anext(watching))
            assert [event.WhichOneof("event") for event in seen[4:]] == ["step_completed", "approval_requested"]

            _lose(own_redis, log, kept_bytes)
            with pytest.raises(TroupeError) as told:
                async with asyncio.timeout(30):
                    await anext(watching)
        assert told.value.reason == ErrorReason.ERROR_REASON_HISTORY_CHANGED
        assert told.value.code is grpc.StatusCode.OUT_OF_RANGE
        assert not told.value.retryable

        async def written_anew() -> bool:
            stored = await client.get(task_id)
            return stored.last_sequence > len(seen) and stored.steps[1].state == 6  # it waits for the person again

        await until(written_anew, timeout_seconds=30)
        late = await _refusal(stub, task_id, seen[5])
        assert late.reason == ErrorReason.ERROR_REASON_HISTORY_CHANGED
        assert late.metadata["oldest_sequence"] == "1"
        beyond = TaskEvent(sequence=4711, event_time=seen[5].event_time)
        assert (await _refusal(stub, task_id, beyond)).reason == ErrorReason.ERROR_REASON_HISTORY_CHANGED
        assert await _error_of(session, followed) == ErrorReason.ERROR_REASON_HISTORY_CHANGED
        await resolve(stub, task_id, "a", approve=True)
        for cursor in (seen[0], seen[3]):
            request = _after(task_id, cursor)
            events = await events_of(stub.WatchTask(request, timeout=30))
            assert events[0].sequence == cursor.sequence + 1
            assert events[-1].HasField("task_completed")
        session.cancel()


@pytest.mark.parametrize("selection", [pb.EVENT_SELECTION_ALL, pb.EVENT_SELECTION_TERMINAL])
async def test_a_session_is_told_of_a_task_that_was_lost_whole(
    own: Engine,
    own_redis: RedisServer,
    own_agents: ScriptedAgents,
    tmp_path: Path,
    selection: pb.EventSelection.ValueType,
) -> None:
    own.start_orchestrator()
    own.start_worker()
    async with calling(own) as stub:
        log = _log_file(tmp_path)
        kept_bytes = log.stat().st_size
        session: Any = stub.RunTasks()
        task = spec(("h", "hanging", "x", []))
        submission = pb.TaskSubmission(task=task, request_id="lost", events=selection)
        await session.write(pb.RunTasksRequest(submissions=[submission]))
        followed = await _task_of(session)
        await asked(own_agents, followed)
        _lose(own_redis, log, kept_bytes)
        assert await _error_of(session, followed) == ErrorReason.ERROR_REASON_TASK_NOT_FOUND
        session.cancel()


def _after(task_id: str, event: TaskEvent) -> pb.WatchTaskRequest:
    return pb.WatchTaskRequest(task_id=task_id, after_sequence=event.sequence, after_event_time=event.event_time)


async def _refusal(stub: Any, task_id: str, event: TaskEvent) -> TroupeError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await events_of(stub.WatchTask(_after(task_id, event), timeout=30))
    return TroupeError.from_rpc(refused.value)


async def _results(session: Any) -> AsyncIterator[pb.SubmissionResult]:
    async with asyncio.timeout(30):
        while True:
            for result in (await session.read()).results:
                yield result


async def _task_of(session: Any) -> str:
    async for result in _results(session):
        return result.task_id
    raise AssertionError


async def _error_of(session: Any, task_id: str) -> "ErrorReason.ValueType":
    async for result in _results(session):
        assert result.task_id == task_id
        return result.error.reason
    raise AssertionError
