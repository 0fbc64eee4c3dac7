"""The clock of Redis is set while tasks run: back, forward, and there and back again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.engine import Engine, calling, history, kinds, spec, submit
from tests.support.processes import reached
from tests.support.redis import RedisServer
from tests.support.scenarios import asked, completed, requests_of, started
from tests.support.scripted_agents import ScriptedAgents, scripted_agents
from tests.support.skew import settable
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Clock:
    """The wall clock of an engine's Redis."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def set(self, offset: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.rename(self._file)


@pytest_asyncio.fixture(loop_scope="module")
async def served(tmp_path: Path) -> AsyncIterator[tuple[Engine, ScriptedAgents, Clock]]:
    file = tmp_path / "offset"
    redis = RedisServer(data_dir=tmp_path, env=settable(file))
    redis.start()
    engine = Engine(redis, tmp_path)
    try:
        with engine.stack:
            async with scripted_agents(engine.agents_address) as agents:
                yield engine, agents, Clock(file)
    finally:
        redis.stop()


@pytest.mark.parametrize("offsets", [["-60"], ["+10m", "-1h"], ["-5", "-10", "-40"]], ids="/".join)
async def test_a_dead_workers_step_is_taken_over_and_no_other(
    served: tuple[Engine, ScriptedAgents, Clock], offsets: list[str]
) -> None:
    engine, agents, clock = served
    engine.start_orchestrator()
    doomed = engine.start_worker()
    async with calling(engine) as stub:
        orphan = await submit(stub, spec(("h", "hanging", "x", [])))
        await asked(agents, orphan)
        engine.start_worker()
        await reached(lambda: engine.said().count('"agent server"') >= 2)
        *earlier, last = offsets
        for offset in earlier:
            clock.set(offset)
            await _retries(stub)
        assert len(agents.requests[orphan]) == 1, "its worker lives, and keeps it"
        doomed.kill()
        clock.set(last)  # its lease ran by the time before
        await asked(agents, orphan, 2)
        agents.gates[orphan].set()
        events = await history(stub, orphan)
        assert kinds(events)[-1] == "task_completed"
        assert started(events) == [("h", 1), ("h", 2)]
        assert [request.attempt for request in requests_of(agents, orphan, "h")] == [1, 2]
        await _retries(stub)
        late = spec(("h", "hanging", "x", []))
        late.timeout.FromMilliseconds(300)
        ended = (await history(stub, await submit(stub, late)))[-1]
        assert ended.task_failed.error.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
        metrics = (await stub.GetTaskMetrics(pb.GetTaskMetricsRequest(task_id=orphan))).metrics
        assert metrics.steps[0].queue_wait.ToNanoseconds() >= 0


async def _retries(stub: "Stub") -> None:
    """What waits for its next attempt waits no longer than it should."""
    assert completed(await history(stub, await submit(stub, spec(("f", "flaky", "3", []))))) == {"f": "attempt 3"}
