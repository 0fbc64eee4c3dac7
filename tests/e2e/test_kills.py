"""`kill -9` of a process in the middle of a task: the task completes, and `troupe up` brings the process back."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.processes import until
from tests.support.stack import Stack
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.client import ClientSettings, TroupeClient

PLANETS = {
    "Mars": "Mars has two moons, Phobos and Deimos, and takes 687 days for one orbit around the Sun.",
    "Venus": "Venus turns on its axis once in 243 days and has no moons at all.",
    "Jupiter": "Jupiter is the largest planet and has 95 known moons, four of them found by Galileo.",
    "Saturn": "Saturn is known for its rings, which consist of ice and rock.",
}
QUESTIONS = (
    "How many moons has Mars? How long does Venus turn? How many moons has Jupiter? What are the rings of Saturn?"
)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planets")
    for name, text in PLANETS.items():
        (folder / f"{name.lower()}.txt").write_text(f"{name}\n\n{text}\n")
    return folder


@pytest.mark.parametrize("victim", ["worker", "agents", "inference", "triton", "orchestrator", "redis"])
async def test_the_task_completes(stack: Stack, documents: Path, victim: str) -> None:
    async with TroupeClient(settings=ClientSettings(target=stack.target)) as client:
        async for _ in client.ingest(documents):
            pass
        before = stack.members[victim].pid
        assert before
        events: list[TaskEvent] = []
        async for event in client.run(QUESTIONS):
            if event.HasField("step_started") and not any(earlier.HasField("step_started") for earlier in events):
                os.kill(before, signal.SIGKILL)
            events.append(event)
    await until(lambda: _is_back(stack, victim, before))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].HasField("task_completed"), events[-1]
    completed = [event.step_completed.step_id for event in events if event.HasField("step_completed")]
    assert len(completed) == len(set(completed)) == 9
    text = events[-1].task_completed.output.text
    assert "Phobos" in text
    assert "243 days" in text


async def _is_back(stack: Stack, victim: str, before: int) -> bool:
    return stack.members[victim].pid not in (before, None)
