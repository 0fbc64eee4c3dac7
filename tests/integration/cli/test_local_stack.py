"""The commands about the stack of this machine: `status`, `logs`, `down`, and which server the others ask."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command_line import troupe
from tests.support.processes import running, until
from tests.support.task_server import TASK_ID, task_server
from troupe.local.launch import Launch, free_port
from troupe.local.lock import locked
from troupe.local.stack_file import Member, read_stack, write_stack

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
# Starts as we do, and goes on as a user who may do nothing here.
AS_NOBODY = "import os, sys, socket; os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(*[65534] * 3);"
LISTEN_AS_NOBODY = AS_NOBODY + (
    "server = socket.create_server(('127.0.0.1', int(sys.argv[1]))); server.listen()\nwhile True: server.accept()"
)


@contextmanager
def small_stack(folder: Path, *named: str) -> Iterator[subprocess.Popen[bytes]]:
    launch = Launch([sys.executable, "-m", "tests.support.small_stack", str(folder), *named])
    with running(launch, log=folder / "stack.log") as process:
        yield process


async def up(folder: Path) -> None:
    async def is_up() -> bool:
        return bool(read_stack(folder))

    await until(is_up)


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Path]:
    with small_stack(tmp_path, f"first={free_port()}", f"second={free_port()}"):
        await up(tmp_path)
        yield tmp_path


async def test_status_names_each_process_with_its_state_and_address(small: Path) -> None:
    ended = await troupe("status", "--data-dir", str(small))
    head, *lines = ended.out.decode().splitlines()
    members = read_stack(small)
    assert (ended.code, ended.err) == (0, b"")
    assert head.startswith(f"the stack of {small}: troupe 0.1.0, pid ")
    cells = [line.split("\t") for line in lines]
    assert [(cell[0], cell[1], int(cell[2]), cell[5]) for cell in cells] == [
        (name, "healthy", member.pid, member.address) for name, member in members.items()
    ]
    assert all(cell[3] and cell[4].endswith(" MiB") for cell in cells)


async def test_status_for_programs_tells_who_is_not_well(small: Path) -> None:
    members = read_stack(small)
    elsewhere = Member(None, f"127.0.0.1:{free_port()}", "tcp")
    write_stack(small, {**members, "elsewhere": elsewhere, "odd": Member(None, "a:1", "new-kind")})
    ended = await troupe("status", "--json", env={"TROUPE_LOCAL__DATA_DIR": str(small)})
    told = json.loads(ended.out)
    assert ended.code == 1
    assert (told["running"], told["healthy"], told["data_dir"]) == (True, False, str(small))
    well = {name: member["healthy"] for name, member in told["members"].items()}
    assert well == {"first": True, "second": True, "elsewhere": False, "odd": False}
    assert "Connect call failed" in told["members"]["elsewhere"]["problem"]
    assert told["members"]["first"]["memory_bytes"] > 1 << 20
    assert told["members"]["first"]["up_seconds"] > 0


async def test_where_nothing_runs_status_and_down_say_so(tmp_path: Path) -> None:
    write_stack(tmp_path, {"worker": Member(os.getpid(), "127.0.0.1:1", "tcp")})  # left by a stack that was killed
    ended = await troupe("status", "--data-dir", str(tmp_path))
    assert (ended.code, ended.out.decode().partition(":")[0]) == (1, f"nothing runs in {tmp_path}")
    ended = await troupe("status", "--data-dir", str(tmp_path), "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["running"], told["pid"], told["members"]) == (1, False, None, {})
    ended = await troupe("down", "--data-dir", str(tmp_path))
    assert (ended.code, ended.out.decode()) == (0, f"nothing runs in {tmp_path}\n")


async def test_a_stack_that_starts_is_no_stack_that_runs(tmp_path: Path) -> None:
    with locked(tmp_path):
        ended = await troupe("status", "--data-dir", str(tmp_path))
    assert ended.code == 1
    assert f"(pid {os.getpid()}) is starting or stopping" in ended.out.decode()


async def test_down_stops_it_in_order(tmp_path: Path) -> None:
    with small_stack(tmp_path, f"first={free_port()}") as process:
        await up(tmp_path)
        ended = await troupe("down", "--data-dir", str(tmp_path))
        assert (ended.code, ended.out.decode()) == (0, f"stopped the stack of {tmp_path}\n")
        assert process.poll() == 0
    assert read_stack(tmp_path) == {}


async def test_down_ends_what_does_not_stop(tmp_path: Path) -> None:
    with small_stack(tmp_path, f"stubborn={free_port()}") as process:
        await up(tmp_path)
        ended = await troupe("down", "--data-dir", str(tmp_path), "--timeout", "0.2")
        assert (ended.code, ended.out.decode()) == (0, f"killed the stack of {tmp_path}, which did not stop in time\n")
        assert process.poll() is not None


async def test_logs_shows_the_end_of_each_log_also_when_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "redis.log").write_text("".join(f"line {number}\n" for number in range(20_000)))
    (tmp_path / "logs" / "redis.log.1").write_text("older\n")
    (tmp_path / "logs" / "a.log").write_text("only\nno end")
    ended = await troupe("logs", "--data-dir", str(tmp_path), "-n", "2")
    assert ended.out.decode() == "a     │ only\nredis │ line 19998\nredis │ line 19999\n"
    ended = await troupe("logs", "redis", "--data-dir", str(tmp_path), "--lines", "10000")
    assert ended.out.decode().splitlines() == [f"line {number}" for number in range(10_000, 20_000)]
    ended = await troupe("logs", "redis", "--data-dir", str(tmp_path), "-n", "0")
    assert (ended.code, ended.out) == (0, b"")


async def test_logs_are_safe_for_terminals(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "agents.log").write_bytes(b"\x1b[2J\x9b0m\xff gone\r\n")
    ended = await troupe("logs", "agents", "--data-dir", str(tmp_path))
    assert b"gone" in ended.out
    assert b"\x1b" not in ended.out
    assert ended.out.count(b"\n") == 1


async def test_logs_follows_what_is_added_and_new_files(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "worker.log"
    log.parent.mkdir()
    log.write_text("first\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "troupe.cli", "logs", "worker", "-f", "--data-dir", str(tmp_path)),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"first\n"
        with log.open("a") as file:
            file.write("second\nthi")
            file.flush()
            assert await process.stdout.readline() == b"second\n"
            file.write("rd\n")
        assert await process.stdout.readline() == b"third\n"
        log.rename(log.with_suffix(".log.1"))
        log.write_text("after the rotation\n")
        assert await process.stdout.readline() == b"after the rotation\n"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("logs", "nope"), "no log of 'nope': there are first"),
        (("logs", "-n", "-1"), "--lines"),
        (("down", "--timeout", "soon"), "--timeout"),
        (("status", "more"), "more"),
        (("up", "--port", "gateway"), "'gateway' is no NAME=PORT"),
        (("up", "--port", "gateway=web"), "'gateway=web' is no NAME=PORT"),
        (("up", "--port", "gateway=70000"), "'gateway=70000' is no NAME=PORT"),
        (("up", "--port", "redis=6379"), "no port can be chosen for 'redis', only for orchestrator, agents,"),
        (("up", "--port", "webserver=80"), "no port can be chosen for 'webserver', only for"),
        (("up", "--agent", "localhost"), "'localhost' is no HOST:PORT"),
        (("up", "--agent", "http://h:1"), "'http://h:1' is no HOST:PORT"),
        (("up", "--agent", "h:1,h:x"), "'h:x' is no HOST:PORT"),
        (("up", "--redis-url", "redis://:secret@"), "the address of redis is none"),
    ],
)
async def test_mistakes_are_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "first.log").touch()
    ended = await troupe(*arguments, "--data-dir", str(tmp_path))
    assert ended.code == 2
    assert problem in ended.complaint
    assert "secret" not in ended.complaint


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("TROUPE_WORKER__AGENTS", "localhost", "`worker.agents[0]` = 'localhost': must be host:port"),
        ("TROUPE_LOCAL__AGENTS", "a:1,b", "`local.agents[1]` = 'b': must be host:port"),
        ("TROUPE_LOCAL__PORTS", '{"gateway": 99999}', "local.ports.gateway"),
        ("TROUPE_GATEWAY__LISTEN", "8080", "'8080' is no HOST:PORT"),
        ("TROUPE_ORCHESTRATOR__SERVER__LISTEN", "192.0.2.1:50051", "orchestrator cannot listen on 192.0.2.1:50051"),
    ],
)
async def test_settings_that_cannot_be_are_told_in_one_line(
    tmp_path: Path, variable: str, value: str, problem: str
) -> None:
    ended = await troupe("up", "--data-dir", str(tmp_path), env={variable: value})
    assert ended.code == 2
    assert problem in ended.complaint


async def test_commands_ask_the_stack_of_the_data_directory_and_say_so(tmp_path: Path) -> None:
    async with task_server() as (_, first), task_server() as (_, second):
        with locked(tmp_path):
            write_stack(tmp_path, {"orchestrator": Member(os.getpid(), first, "grpc")})
            found = await troupe("tasks", env={"TROUPE_LOCAL__DATA_DIR": str(tmp_path)})
            named = await troupe(
                "tasks", env={"TROUPE_LOCAL__DATA_DIR": str(tmp_path), "TROUPE_CLIENT__TARGET": second}
            )
            chosen = await troupe("tasks", "--target", second, env={"TROUPE_LOCAL__DATA_DIR": str(tmp_path)})
    assert TASK_ID.encode() in found.out
    assert found.err.decode().startswith(f"asking {first}, the stack of {tmp_path}")
    assert named.complaint == (
        f"asking {second}, as the setting `client.target` says; the stack of {tmp_path} is at {first}"
    )
    assert (chosen.code, chosen.err) == (0, b"")


@ROOT
async def test_another_users_server_is_not_asked_unless_it_is_named(tmp_path: Path) -> None:
    """Its port may have been ours: whoever waits for our stack to stop can take it."""
    port = free_port()
    launch = Launch([sys.executable, "-IS", "-c", LISTEN_AS_NOBODY, str(port)])
    with running(launch, log=tmp_path / "nobody.log"), locked(tmp_path):
        write_stack(tmp_path, {"orchestrator": Member(os.getpid(), f"127.0.0.1:{port}", "grpc")})

        async def listens() -> bool:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True

        await until(listens)
        env = {"TROUPE_LOCAL__DATA_DIR": str(tmp_path), "TROUPE_CLIENT__CALL_SECONDS": "0.5"}
        refused = await troupe("run", "secret?", "--docs", str(tmp_path), env=env)
        named = await troupe("tasks", "--target", f"127.0.0.1:{port}", env=env)
    assert refused.code == 2
    assert f"the server at 127.0.0.1:{port} is run by the user 'nobody', not by you" in refused.complaint
    assert "not by you" not in named.complaint
