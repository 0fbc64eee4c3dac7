"""Arguments and streams that are not as they should be: one line, the right exit code, and no report lost."""

import json
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.command_line import troupe
from tests.support.task_server import REPORT, TASK_ID, TaskServer, task_server

_ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[TaskServer, str]]:
    async with task_server() as served:
        yield served


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((b"run", b"caf\xe9"), "the request"),
        ((b"plan", b"\xff\xfeW"), "the request"),
        ((b"show", b"\xc3"), "the task id"),
        ((b"watch", b"\xed\xa0\x80"), "the task id"),
        ((b"cancel", b"x", b"--reason", b"\xe9"), "the value of --reason"),
        ((b"approve", b"t", b"\xe9"), "the step id"),
        ((b"approve", b"t", b"s", b"--comment", b"\xff"), "the value of --comment"),
        ((b"tasks", b"--target", b"\xe9:1"), "the value of --target"),
        ((b"run", b"why", b"--label", b"a=\xc0\xaf"), "the value of --label"),
    ],
)
async def test_text_that_is_no_utf8_is_refused(arguments: tuple[bytes, ...], what: str) -> None:
    ended = await troupe(*arguments)
    assert (ended.code, ended.out) == (2, b"")
    assert ended.complaint == f"troupe: {what} is not UTF-8"


@pytest.mark.parametrize("arguments", [(b"caf\xe9",), (b"run", b"why", b"--caf\xe9")])
async def test_a_wrong_argument_is_told_whatever_its_bytes(arguments: tuple[bytes, ...]) -> None:
    ended = await troupe(*arguments)
    assert (ended.code, ended.out) == (2, b"")
    assert "--help` shows what it takes" in ended.complaint


@pytest.mark.parametrize(
    ("command", "given"), [("run", b"caf\xe9?"), ("plan", "why".encode("utf-16")), ("run", b"\xf0\x9f")]
)
async def test_a_request_on_standard_input_must_be_utf8(command: str, given: bytes) -> None:
    ended = await troupe(command, "-", stdin=given)
    assert (ended.code, ended.complaint) == (2, "troupe: the request is not UTF-8")


async def test_a_request_on_standard_input_may_begin_with_a_mark(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    ended = await troupe("run", "-", "--target", address, stdin="\ufeffwhy é?".encode())
    assert ended.code == 0
    assert tasks.run_requests[0].task.input == "why é?"


async def test_standard_input_that_is_closed_or_endless_is_told() -> None:
    closed = await troupe("run", "-", plumbing="<&-")
    assert (closed.code, closed.complaint) == (
        2,
        "troupe: the request is to come from standard input, which is closed",
    )
    endless = await troupe("run", "-", plumbing="</dev/zero")
    assert (endless.code, endless.complaint) == (
        2,
        "troupe: the request on standard input is longer than 262,144 bytes",
    )


@pytest.mark.parametrize(
    "env",
    [
        _ASCII_LOCALE,
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"PYTHONIOENCODING": "koi8-r:strict"},
    ],
)
async def test_the_report_comes_through_every_encoding(server: tuple[TaskServer, str], env: dict[str, str]) -> None:
    tasks, address = server
    ended = await troupe("run", "wozu die Maßnahme?", "--target", address, env=env)
    assert (ended.code, ended.err) == (0, b"")
    assert b"**Nothing is lost** [1]." in ended.out
    assert b"characters 3" in ended.out
    assert tasks.run_requests[0].task.input == "wozu die Maßnahme?"


async def test_json_stays_json_in_every_encoding(server: tuple[TaskServer, str]) -> None:
    _, address = server
    ended = await troupe("watch", TASK_ID, "--json", "--target", address, env=_ASCII_LOCALE)
    assert json.loads(ended.out.splitlines()[-1])["taskCompleted"]["output"]["text"] == REPORT


@pytest.mark.parametrize(
    ("command", "plumbing", "problem"),
    [
        (("tasks",), ">&-", "Bad file descriptor"),
        (("show", TASK_ID), ">/dev/full", "No space left on device"),
        (("agents",), ">/dev/full", "No space left on device"),
        (("cancel", TASK_ID), ">&-", "Bad file descriptor"),
        (("plan", "why?", "--json"), ">&-", "Bad file descriptor"),
    ],
)
async def test_standard_output_that_takes_nothing_is_told(
    server: tuple[TaskServer, str], command: tuple[str, ...], plumbing: str, problem: str
) -> None:
    _, address = server
    ended = await troupe(*command, "--target", address, plumbing=plumbing)
    assert ended.code == 2
    assert ended.complaint == f"troupe: standard output cannot be written: {problem}"


@pytest.mark.parametrize(("form", "plumbing"), [((), ">/dev/full"), (("--json",), ">&-")])
async def test_a_task_whose_output_is_lost_says_where_it_is(
    server: tuple[TaskServer, str], form: tuple[str, ...], plumbing: str
) -> None:
    _, address = server
    ended = await troupe("run", "why?", *form, "--target", address, plumbing=plumbing)
    assert ended.code == 2
    assert ended.complaint.endswith(f"detached: task {TASK_ID} goes on; follow it with: troupe watch {TASK_ID}")


@pytest.mark.parametrize("plumbing", ["2>&-", "2>/dev/full"])
async def test_complaints_that_nobody_can_read_change_no_exit_code(
    server: tuple[TaskServer, str], plumbing: str
) -> None:
    _, address = server
    assert (await troupe("show", "nope", "--target", address, plumbing=plumbing)).code == 2
    ended = await troupe("run", "why?", "--target", address, plumbing=plumbing)
    assert ended.code == 0
    assert ended.out.endswith(f"\n\n{REPORT}\n".encode())


@pytest.mark.parametrize("command", [("version",), ("run", "why?")])
async def test_a_reader_that_leaves_is_no_failure(server: tuple[TaskServer, str], command: tuple[str, ...]) -> None:
    _, address = server
    target = () if command == ("version",) else ("--target", address)
    reader, writer = os.pipe()
    os.close(reader)
    ended = await troupe(*command, *target, stdout=writer)
    os.close(writer)
    assert ended.code == 0
    assert b"Traceback" not in ended.err
