"""The snippets of the README do what they say."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from google.protobuf import json_format

from tests.support.stack import Stack
from troupe.api.orchestrator.v1 import orchestrator_service_pb2
from troupe.api.orchestrator.v1.orchestrator_service_pb2 import RunTaskRequest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


async def test_the_python_snippet_prints_a_history(stack: Stack) -> None:
    (code,) = snippets("python")
    ended = await asyncio.to_thread(_run, [sys.executable, "-c", code], stack)
    assert ended.returncode == 0, ended.stderr
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    assert lines[-1][1] == "task_completed"


async def test_the_commands_run(stack: Stack) -> None:
    commands = [line for snippet in snippets("sh") for line in snippet.splitlines() if line.startswith("troupe run")]
    assert commands
    for command in commands:
        arguments = shlex.split(command, comments=True)[1:]
        ended = await asyncio.to_thread(_run, [sys.executable, "-m", "troupe.cli", *arguments], stack)
        assert ended.returncode == 0, ended.stderr
        assert "## Sources" in ended.stdout


async def test_the_commands_for_documents_run(stack: Stack) -> None:
    lines = [line for snippet in snippets("sh") for line in snippet.splitlines()]
    commands = [line for line in lines if line.startswith(("troupe ingest", "troupe search", "troupe docs"))]
    assert len(commands) >= 4
    for command in commands:
        arguments = shlex.split(command, comments=True)[1:]
        ended = await asyncio.to_thread(_run, [sys.executable, "-m", "troupe.cli", *arguments], stack)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout


def test_the_grpcurl_snippet_names_a_method_and_sends_its_request() -> None:
    (snippet,) = [snippet for snippet in snippets("sh") if "grpcurl" in snippet]
    words = shlex.split(snippet.replace("\\\n", " "))
    json_format.Parse(words[words.index("-d") + 1], RunTaskRequest())
    json.loads(words[words.index("-d") + 1])
    service, _, method = words[-1].rpartition("/")
    descriptor = orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"]
    assert service == descriptor.full_name
    assert method in descriptor.methods_by_name


def test_every_link_leads_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document}: {link}"


def _run(command: list[str], stack: Stack) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TROUPE_CLIENT__TARGET": stack.target}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
