"""Only the clock of Redis counts, and what a worker leaves behind is taken up in time."""

import asyncio
import signal
import subprocess
import time

import pytest

from tests.support.engine import Engine, calling, history, kinds, spec, submit
from tests.support.processes import reached
from tests.support.scripted_agents import ScriptedAgents
from tests.support.skew import skewed
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(("api", "workers"), [("+1h", "-1h"), ("-1h", "+1h"), ("+0h", "+1h")])
async def test_wrong_clocks_change_nothing(own: Engine, own_agents: ScriptedAgents, api: str, workers: str) -> None:
    own.start_orchestrator(**skewed(api))
    first = own.start_worker(**skewed(workers))
    async with calling(own) as stub:
        began = time.time()
        retried = await history(stub, await submit(stub, spec(("f", "flaky", "3", []))))
        assert kinds(retried).count("step_failed") == 2
        assert kinds(retried)[-1] == "task_completed"
        assert all(abs(event.event_time.ToSeconds() - began) < 30 for event in retried)

        late = spec(("h", "hanging", "x", []))
        late.timeout.FromMilliseconds(500)
        submitted = time.monotonic()
        events = await history(stub, await submit(stub, late))
        assert events[-1].task_failed.error.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
        assert 0.5 <= time.monotonic() - submitted < 3

        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        await reached(lambda: len(own_agents.requests[task_id]) == 1)
        await asyncio.sleep(2)  # longer than a lease: it is renewed, not lost
        assert len(own_agents.requests[task_id]) == 1
        own.start_worker()
        first.kill()
        await reached(lambda: len(own_agents.requests[task_id]) == 2)
        own_agents.gates[task_id].set()
        assert kinds(await history(stub, task_id))[-1] == "task_completed"
        task = (await stub.GetTask(pb.GetTaskRequest(task_id=task_id))).task
        assert abs(task.create_time.ToSeconds() - began) < 30


async def test_a_killed_workers_step_runs_again_within_two_seconds(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    first = own.start_worker()
    async with calling(own) as stub:
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        await reached(lambda: len(own_agents.requests[task_id]) == 1)
        await second_worker(own)
        first.kill()
        killed = time.monotonic()
        await reached(lambda: len(own_agents.requests[task_id]) == 2)
        assert time.monotonic() - killed < 2
        own_agents.gates[task_id].set()
        assert kinds(await history(stub, task_id))[-1] == "task_completed"


async def test_a_worker_that_is_told_to_stop_hands_over_at_once(own: Engine, own_agents: ScriptedAgents) -> None:
    own.start_orchestrator()
    first = own.start_worker()
    async with calling(own) as stub:
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        await reached(lambda: len(own_agents.requests[task_id]) == 1)
        await second_worker(own)
        first.send_signal(signal.SIGTERM)
        exited = asyncio.create_task(exit_of(first))
        await reached(lambda: len(own_agents.requests[task_id]) == 2)
        again = time.monotonic()
        assert again - await exited < 0.5
        own_agents.gates[task_id].set()
        events = await history(stub, task_id)
    assert kinds(events)[-1] == "task_completed"
    assert "step_failed" not in kinds(events)


async def second_worker(engine: Engine) -> None:
    """Starts another worker and returns when it takes steps."""
    begun = engine.said().count("agent server")
    engine.start_worker()
    await reached(lambda: engine.said().count("agent server") > begun)


async def exit_of(process: subprocess.Popen[bytes]) -> float:
    """When a process ended, on this machine's monotonic clock."""
    assert await asyncio.to_thread(process.wait, 10) == 0
    return time.monotonic()
