"""`troupe up` and the commands that talk to it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import other_user
from tests.support.processes import running, until
from tests.support.stack import Stack
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.task_pb2 import Plan, TaskSpec
from troupe.client import ClientSettings, TroupeClient
from troupe.local.launch import Launch
from troupe.local.listeners import listeners, own_orchestrators, owner_of
from troupe.local.servers.triton import shared_memory_pattern

MEMBERS = ["redis", "milvus", "triton", "inference", "agents", "orchestrator", "worker", "gateway"]


def troupe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "troupe.cli", *arguments], capture_output=True, text=True, timeout=100, check=False
    )


async def test_every_process_is_named_with_its_address(stack: Stack) -> None:
    members = stack.members
    assert list(members) == [*MEMBERS, *(f"agent {address}" for address in stack.agents)]
    assert all(members[name].pid for name in MEMBERS)


async def test_ports_that_were_chosen_are_taken_and_kept(stack: Stack) -> None:
    assert stack.members["inference"].address == f"127.0.0.1:{stack.chosen_port}"
    gateway = stack.members["gateway"].address.rpartition(":")[2]
    assert f"0.0.0.0:{gateway}" in (stack.folder / "logs" / "gateway.log").read_text()
    kept = json.loads((stack.folder / "ports.json").read_text())
    assert kept == {
        name: int(member.address.rpartition(":")[2])
        for name, member in stack.members.items()
        if name in ("orchestrator", "agents", "inference", "worker", "gateway")
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_other_users_can_read_no_file_and_reach_no_server_of_its_data(stack: Stack) -> None:
    shared_memory = Path(shared_memory_pattern(stack.folder / "triton"))
    segments = list(shared_memory.parent.glob(shared_memory.name))
    assert len(segments) >= 2
    found = [*segments, stack.folder, *stack.folder.rglob("*")]
    sockets = [path for path in found if path.is_socket()]
    assert {path.name.partition(".")[0] for path in sockets} == {"redis", "milvus", "triton"}
    assert [str(path) for path in found if path.lstat().st_mode & 0o077 and not path.is_symlink()] == []
    argv = [sys.executable, "-IS", other_user.__file__, str(stack.log), *map(str, found)]
    ended = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [str(stack.log)]  # beside the data directory, and open: so it did try


async def test_it_is_found_among_this_users_stacks(stack: Stack) -> None:
    assert stack.target in own_orchestrators()
    assert owner_of(stack.target, listeners()) == os.geteuid()


async def test_servers_of_data_have_no_port(stack: Stack) -> None:
    for name in ("redis", "milvus", "triton"):
        assert stack.members[name].address.startswith(f"unix:{stack.folder}/run/")


async def test_an_agent_of_ones_own_works_beside_the_built_in_ones(stack: Stack, tmp_path: Path) -> None:
    """It is away while the stack starts, comes, and answers a step behind one of a built-in agent."""
    for address in stack.agents:
        assert f"agent {address} does not answer yet" in stack.log.read_text()

    async def all_others_are_well() -> bool:
        ended = await asyncio.to_thread(troupe, "status", "--data-dir", str(stack.folder), "--json")
        told = json.loads(ended.stdout)["members"]
        return {name for name in told if not told[name]["healthy"]} == {f"agent {one}" for one in stack.agents}

    await until(all_others_are_well)
    plan = Plan(
        steps=[
            Step(step_id="find", agent="retriever", instruction="bridges"),
            Step(step_id="own", agent="noop", instruction="anything", depends_on=["find"]),
        ]
    )
    async with TroupeClient(settings=ClientSettings(target=stack.target)) as client:
        for address in stack.agents:
            launch = Launch([sys.executable, "-m", "tests.bench.noop_agent", address])
            with running(launch, log=tmp_path / "agent.log"):

                async def answers(address: str = address) -> bool:
                    return any(known.available and known.address == address for known in await client.agents())

                await until(answers)
                events = [event async for event in client.run(TaskSpec(input="a test", plan=plan))]
                assert events[-1].WhichOneof("event") == "task_completed", events[-1]
                completed = {e.step_completed.step_id for e in events if e.HasField("step_completed")}
                assert completed == {"find", "own"}


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
