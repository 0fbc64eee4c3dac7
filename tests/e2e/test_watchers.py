"""Every watcher sees the same history, through every door, whenever it comes."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.support.stack import Stack
from tests.support.web_clients import Runtime, WebClients
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.client import ClientSettings, TroupeClient

QUESTIONS = "What is a lease? Who renews it? What happens when a worker dies?"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "leases.md").write_text(
        "# Leases\n\nA lease is the right of a worker to execute a step for a bounded time.\n\n"
        "## Renewal\n\nThe worker renews the lease of a step every half second while the agent works on it.\n\n"
        "## Takeover\n\nWhen a worker dies, its lease expires and another worker takes the step over.\n"
    )
    return folder


async def ingest(client: TroupeClient, folder: Path) -> None:
    async for _ in client.ingest(folder):
        pass


async def test_two_over_grpc_and_one_over_grpc_web_see_the_same(stack: Stack, documents: Path) -> None:
    async with TroupeClient(settings=ClientSettings(target=stack.target)) as client:
        await ingest(client, documents)
        task_id = (await client.submit(QUESTIONS)).task_id
        early = asyncio.create_task(_collect(client, task_id))
        reconnecting = asyncio.create_task(_collect_in_two(client, task_id))
        first = await early
        late = await _collect(client, task_id)
        cut = await reconnecting
    assert first[-1].HasField("task_completed")
    assert [event.sequence for event in first] == list(range(1, len(first) + 1))
    assert first == late == cut


@pytest.mark.parametrize(
    "runtime", [pytest.param("node", marks=pytest.mark.node), pytest.param("browser", marks=pytest.mark.browser)]
)
@pytest.mark.parametrize("kind", ["connect", "grpc-web", "grpc-web-text"])
async def test_a_web_client_runs_a_task_and_watches_it_again(
    stack: Stack, documents: Path, web_clients: WebClients, runtime: Runtime, kind: str
) -> None:
    gateway = stack.members["gateway"].address
    async with TroupeClient(settings=ClientSettings(target=stack.target)) as client:
        await ingest(client, documents)
        lines, end = await web_clients.run(runtime, kind, gateway, "--input", QUESTIONS)
        assert end["end"] == "ok", end
        task_id = lines[0]["taskId"]
        sequences = [int(line["sequence"]) for line in lines if int(line.get("sequence", 0))]
        native = await _collect(client, task_id)
        assert sequences == [event.sequence for event in native]
        rest, end = await web_clients.run(runtime, kind, gateway, "--watch", task_id, "--after", "3")
        assert end["end"] == "ok", end
        assert [int(line["sequence"]) for line in rest] == sequences[3:]


async def _collect(client: TroupeClient, task_id: str, after: int = 0) -> list[TaskEvent]:
    return [event async for event in client.watch(task_id, after_sequence=after)]


async def _collect_in_two(client: TroupeClient, task_id: str) -> list[TaskEvent]:
    """Leaves in mid-stream and comes back behind the last event that it has."""
    seen: list[TaskEvent] = []
    async with aclosing(client.watch(task_id)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 4:
                break
    return seen + await _collect(client, task_id, seen[-1].sequence)
