"""The commands as a person or a script starts them, against a server of the task API."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.task_server import REPORT, TASK_ID, TaskServer, history, task_server
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskCancelled, TaskFailed
from troupe.core.errors import TroupeError
from troupe.local.launch import free_port


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[TaskServer, str]]:
    async with task_server() as served:
        yield served


async def start(*arguments: str, env: dict[str, str] | None = None) -> Process:
    variables = {**os.environ, "TROUPE_LOCAL__DATA_DIR": "/nowhere", **(env or {})}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "troupe.cli", *arguments, stdout=PIPE, stderr=PIPE, env=variables
    )


async def troupe(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    process = await start(*arguments, env=env)
    out, err = await process.communicate()
    assert process.returncode is not None
    assert "Traceback" not in err.decode()
    return process.returncode, out.decode(), err.decode()


async def test_run_in_a_pipe_prints_plain_lines_and_the_report(server: tuple[TaskServer, str]) -> None:
    _, address = server
    code, out, err = await troupe("run", "why?", "--target", address)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert f"task {TASK_ID} submitted" in out
    assert "[write] attempt 1 failed: the model sleeps; next attempt in" in out
    assert out.endswith(f"\n\n{REPORT}\n")


async def test_run_as_json_prints_each_event(server: tuple[TaskServer, str]) -> None:
    _, address = server
    code, out, _ = await troupe("run", "why?", "--json", "--target", address)
    assert code == 0
    assert [int(json.loads(line)["sequence"]) for line in out.splitlines()] == list(range(1, len(history()) + 1))


async def test_failed_and_cancelled_tasks_end_with_1(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    error = TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, "the model refused").to_proto()
    tasks.events[-1].task_failed.CopyFrom(TaskFailed(error=error, step_id="write"))
    code, out, _ = await troupe("run", "why?", "--target", address)
    assert code == 1
    assert "task failed in step write: the model refused" in out
    tasks.events[-1].task_cancelled.CopyFrom(TaskCancelled(reason="no need"))
    code, out, _ = await troupe("watch", TASK_ID, "--target", address)
    assert code == 1
    assert "task cancelled: no need" in out


async def test_watch_goes_on_after_a_sequence(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    code, out, _ = await troupe("watch", TASK_ID, "--after", "12", "--json", "--target", address)
    assert code == 0
    assert [int(json.loads(line)["sequence"]) for line in out.splitlines()] == [13, 14, 15]
    assert tasks.watch_requests[0].after_sequence == 12


async def test_documents_are_ingested_first_and_selected(server: tuple[TaskServer, str], tmp_path: Path) -> None:
    tasks, address = server
    (tmp_path / "guide.md").write_text("# Guide")
    code, out, _ = await troupe("run", "why?", "--docs", str(tmp_path), "--timeout", "5m", "--target", address)
    assert code == 0
    assert out.startswith(f"ingested 1 file of {tmp_path}: 1 new\n")
    assert tasks.run_requests[0].task.memory_filter == {"folder": str(tmp_path)}
    assert tasks.run_requests[0].task.timeout.seconds == 300


async def test_few_of_many_failures_are_named(server: tuple[TaskServer, str], tmp_path: Path) -> None:
    tasks, address = server
    tasks.max_document_bytes = 3
    (tmp_path / "fine.md").write_text("x")
    for number in range(8):
        (tmp_path / f"{number} large.md").write_text("large")
    _, out, _ = await troupe("ingest", str(tmp_path), "--target", address)
    lines = out.splitlines()
    assert lines[0].startswith("not ingested: 0 large.md: has 5 bytes")
    assert lines[5:] == [
        "and 3 more, which `troupe ingest --verbose` names",
        f"ingested 9 files of {tmp_path}: 1 new, 8 failed",
    ]
    _, out, _ = await troupe("ingest", str(tmp_path), "--verbose", "--target", address)
    assert out.count("not ingested: ") == 8


async def test_what_is_forgotten_is_said(server: tuple[TaskServer, str], tmp_path: Path) -> None:
    _, address = server
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "b.md").write_text("x")
    await troupe("ingest", str(tmp_path), "--target", address)
    (tmp_path / "b.md").unlink()
    _, out, _ = await troupe("ingest", str(tmp_path), "--target", address)
    assert out.endswith("forgot 1 document whose files are gone\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("run", "why?", "--docs", "/no/such/folder"), "'/no/such/folder' does not exist"),
        (("run", "why?", "--timeout", "soon"), "'soon' is no duration"),
        (("watch", "nope"), "no task has the id 'nope'"),
        (("show", "nope"), "no task has the id 'nope'"),
        (("ingest", "/no/such/folder"), "'/no/such/folder' does not exist"),
        (("tasks", "--state", "odd"), "'odd' is none of"),
        (("dance",), "dance"),
    ],
)
async def test_mistakes_end_with_2_and_a_message(
    server: tuple[TaskServer, str], arguments: tuple[str, ...], problem: str
) -> None:
    _, address = server
    target = () if arguments == ("dance",) else ("--target", address)
    code, out, err = await troupe(*arguments, *target)
    assert code == 2
    assert out == ""
    assert problem in " ".join(err.replace("│", "").split())


async def test_nobody_answers() -> None:
    address = f"127.0.0.1:{free_port()}"
    code, out, err = await troupe("tasks", env={"TROUPE_CLIENT__TARGET": address})
    assert (code, out) == (2, "")
    assert err == (
        f"troupe: no orchestrator answers at {address}: start one with `troupe up`, or name another with --target\n"
    )


async def test_detach_prints_the_id_alone(server: tuple[TaskServer, str]) -> None:
    _, address = server
    code, out, _ = await troupe("run", "why?", "--detach", "--target", address)
    assert (code, out) == (0, f"{TASK_ID}\n")


async def test_ctrl_c_detaches(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    out = await interrupted(tasks, address, count=1)
    assert out[0] == 0
    assert f"troupe watch {TASK_ID}" in out[1]
    assert not tasks.cancel_requests


async def test_a_second_ctrl_c_cancels(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    out = await interrupted(tasks, address, count=2)
    assert out[0] == 1
    assert [request.task_id for request in tasks.cancel_requests] == [TASK_ID]


async def test_who_closes_the_pipe_is_told_that_the_task_goes_on(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.pause_after = 2
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "troupe.cli", "run", "why?", "--target", address, stdout=writer, stderr=PIPE
    )
    os.close(writer)
    await asyncio.to_thread(os.read, reader, 1)
    os.close(reader)
    tasks.go_on.set()
    _, err = await process.communicate()
    assert f"troupe watch {TASK_ID}" in err.decode()
    assert "Traceback" not in err.decode()


async def interrupted(tasks: TaskServer, address: str, *, count: int) -> tuple[int, str]:
    """Runs a task that hangs, sends Ctrl-C once or twice, each when the program is ready for it.

    Returns the exit code and what was said on standard error.
    """
    tasks.pause_after = 4
    process = await start("run", "why?", "--target", address)
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readuntil(b"searching")
    process.send_signal(signal.SIGINT)
    said = await process.stderr.readuntil(b"Ctrl-C again")
    if count == 2:
        process.send_signal(signal.SIGINT)
    _, rest = await process.communicate()
    assert b"Traceback" not in rest
    assert process.returncode is not None
    return process.returncode, (said + rest).decode()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("tasks",), TASK_ID),
        (("show", TASK_ID), "Nothing is lost"),
        (("agents",), "writes the report"),
        (("plan", "why?"), "Find passages"),
        (("cancel", TASK_ID), "is cancelled"),
    ],
)
async def test_the_other_commands(server: tuple[TaskServer, str], arguments: tuple[str, ...], expected: str) -> None:
    _, address = server
    code, out, err = await troupe(*arguments, "--target", address)
    assert (code, err) == (0, "")
    assert expected in out


async def test_tasks_in_a_pipe_are_tab_separated_and_whole(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.request = "why " * 100
    _, out, _ = await troupe("tasks", "--target", address)
    assert out == f"{TASK_ID}\tcompleted\t\t\t{tasks.request.strip()}\n"


async def test_show_in_a_pipe_leaves_the_report_as_it_is(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.request = "why " * 100
    _, out, _ = await troupe("show", TASK_ID, "--target", address)
    assert f"request: {tasks.request}\n" in out
    assert out.endswith(f"\n\n{REPORT}\n")


async def test_show_says_why_a_task_was_cancelled(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.events[-1].task_cancelled.CopyFrom(TaskCancelled(reason="no need"))
    code, out, _ = await troupe("show", TASK_ID, "--target", address)
    assert code == 0
    assert "state: cancelled\n" in out
    assert "reason: no need\n" in out


async def test_version_needs_no_imports() -> None:
    code, out, _ = await troupe("version")
    assert (code, out) == (0, "troupe 0.1.0\n")
