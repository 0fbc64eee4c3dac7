"""The `curl` commands of the documents, as they stand there, against the gateway."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.event_stream import EventStreamText
from tests.support.gateway import WebResponse, serving_gateway
from tests.support.task_server import TASK_ID, history, task_server
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb

ROOT = Path(__file__).parents[3]
TEXT = "".join((ROOT / name).read_text().replace("\\\n", "") for name in ("README.md", "docs/gateway.md"))
COMMANDS: dict[str, None] = dict.fromkeys(re.findall(r"^((?:printf .*\| )?curl -.*?)(?: +#.*)?$", TEXT, re.MULTILINE))

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
async def gateway() -> AsyncIterator[str]:
    async with task_server() as (_, backend), serving_gateway(backend) as address:
        yield address


async def run(gateway: str, *contains: str) -> bytes:
    """What the only command that contains these words prints."""
    (command,) = [command for command in COMMANDS if all(word in command for word in contains)]
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        f"TASK={TASK_ID}\n" + command.replace("curl -", "curl -S --fail -").replace("127.0.0.1:8080", gateway),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output


def test_none_is_left_out() -> None:
    assert len(COMMANDS) == 7


async def test_a_method_with_json(gateway: str) -> None:
    assert json.loads(await run(gateway, "/ListTasks"))["tasks"][0]["taskId"] == TASK_ID


async def test_run_a_task(gateway: str) -> None:
    assert json.loads(await run(gateway, "/run-task")) == {"task_id": TASK_ID, "steps_created": 2}


@pytest.mark.parametrize(("words", "first"), [("curl -sN http", 1), ("Last-Event-ID: 7", 8)])
async def test_events(gateway: str, words: str, first: int) -> None:
    told = EventStreamText.parse(await run(gateway, "/stream/", words))
    assert [event.id for event in told.events] == [str(number) for number in range(first, len(history()) + 1)]


async def test_metrics(gateway: str) -> None:
    assert json.loads(await run(gateway, "/metrics/"))


async def test_openapi(gateway: str) -> None:
    assert json.loads(await run(gateway, "/openapi.json"))["openapi"].startswith("3.1")


async def test_grpc_web(gateway: str) -> None:
    answer = WebResponse(200, {}, await run(gateway, "/ListAgents")).parse()
    assert answer.grpc_status == 0
    (agent,) = pb.ListAgentsResponse.FromString(answer.messages[0]).agents
    assert agent.agent.name == "writer"
