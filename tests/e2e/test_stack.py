"""`troupe up` and the commands that talk to it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.processes import until
from tests.support.stack import Stack
from troupe.client import ClientSettings, TroupeClient

MEMBERS = ["redis", "milvus", "triton", "inference", "agents", "orchestrator", "worker", "gateway"]


def troupe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "troupe.cli", *arguments], capture_output=True, text=True, timeout=100, check=False
    )


async def test_every_process_is_named_with_its_address(stack: Stack) -> None:
    members = stack.members
    assert list(members) == MEMBERS
    assert all(member.pid for member in members.values())


async def test_a_second_stack_on_the_same_data_is_refused(stack: Stack) -> None:
    ended = await asyncio.to_thread(troupe, "up", "--data-dir", str(stack.folder))
    assert ended.returncode == 2
    assert f"(pid {stack.process.pid})" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_question_about_a_folder_is_answered_with_citations(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "bridges.md").write_text(
        "# Bridges\n\n## The Firth\n\nThe Firth bridge was opened in 1890 and carries two railway tracks.\n\n"
        "## The Humber\n\nThe Humber bridge was opened in 1981 and has a main span of 1,410 metres.\n"
    )
    question = "When was the Humber bridge opened?"
    ended = await asyncio.to_thread(
        troupe, "run", question, "--docs", str(tmp_path), "--target", stack.target, "--json"
    )
    assert ended.returncode == 0, ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    output = events[-1]["taskCompleted"]["output"]
    assert "1981" in output["text"]
    text = (tmp_path / "bridges.md").read_text()
    for citation in output["citations"]:
        start, end = int(citation.get("startOffset", 0)), int(citation["endOffset"])
        assert text[start:end] == citation["quote"]
    assert output["citations"]


async def test_a_file_larger_than_a_usual_message_is_taken(stack: Stack, tmp_path: Path) -> None:
    comment = "<!--" + "x" * (5 << 20) + "-->"
    (tmp_path / "large.html").write_text(f"<title>Large</title><p>The tower has 312 steps to its top.</p>{comment}")
    ended = await asyncio.to_thread(
        troupe, "run", "How many steps has the tower?", "--docs", str(tmp_path), "--target", stack.target
    )
    assert ended.returncode == 0, ended.stderr
    assert "312 steps" in ended.stdout


async def test_a_killed_worker_comes_back(stack: Stack) -> None:
    before = stack.members["worker"].pid
    assert before
    os.kill(before, signal.SIGKILL)

    async def is_back() -> bool:
        return stack.members["worker"].pid != before

    await until(is_back)
    async with TroupeClient(settings=ClientSettings(target=stack.target)) as client:
        events = [event async for event in client.run("Which bridge is the oldest?")]
    assert events[-1].WhichOneof("event") == "task_completed"


async def test_a_deleted_file_is_forgotten(stack: Stack, tmp_path: Path) -> None:
    for name in ("kept.md", "gone.md"):
        (tmp_path / name).write_text(f"# {name}\n\nThe lighthouse is painted every second year.\n")
    first = await asyncio.to_thread(troupe, "ingest", str(tmp_path), "--target", stack.target)
    (tmp_path / "gone.md").unlink()
    second = await asyncio.to_thread(troupe, "ingest", f"{tmp_path}/../{tmp_path.name}", "--target", stack.target)
    assert first.stdout.endswith(f"ingested 2 files of {tmp_path}: 2 new\n")
    assert second.stdout.endswith(f"of {tmp_path}: 1 unchanged\nforgot 1 document whose files are gone\n")
