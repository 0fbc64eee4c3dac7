"""A supervisor with small real processes."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.processes import until
from tests.support.small_programs import LISTEN, PARENT, STUBBORN, Recorder, listener, script
from troupe.local.errors import StackError
from troupe.local.launch import Launch, free_port
from troupe.local.program import Program
from troupe.local.stack_file import read_stack, stack_path
from troupe.local.supervisor import Supervisor


def supervisor_of(
    folder: Path, *programs: Program, reporter: Recorder | None = None, start_seconds: float = 20
) -> Supervisor:
    return Supervisor(
        programs,
        folder=folder,
        env=dict(os.environ),
        reporter=reporter or Recorder(),
        start_seconds=start_seconds,
        log_bytes=1 << 20,
    )


def lives(pid: int | None) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_starts_in_order_and_stops_in_reverse(tmp_path: Path) -> None:
    recorder = Recorder()
    first, second = listener("first", free_port()), listener("second", free_port(), needs=["first"])
    async with supervisor_of(tmp_path, first, second, reporter=recorder).running():
        members = read_stack(tmp_path)
        assert [(name, member.address) for name, member in members.items()] == [
            ("first", first.address),
            ("second", second.address),
        ]
        assert all(lives(member.pid) for member in members.values())
        await first.probe()
        await second.probe()
    assert not any(lives(member.pid) for member in members.values())
    assert not stack_path(tmp_path).exists()
    told = [event for event in recorder.told if event[0] in ("ready", "starting", "stopped")]
    assert told.index(("ready", "first")) < told.index(("starting", "second"))
    assert told[-2:] == [("stopped", "second"), ("stopped", "first")]
    assert (tmp_path / "logs" / "first.log").read_text() == "listening\n"


async def test_a_killed_process_is_started_again_on_its_port(tmp_path: Path) -> None:
    recorder = Recorder()
    program = listener("it", free_port())
    async with supervisor_of(tmp_path, program, reporter=recorder).running():
        before = read_stack(tmp_path)["it"]
        assert before.pid
        os.kill(before.pid, signal.SIGKILL)

        async def is_back() -> bool:
            now = read_stack(tmp_path).get("it")
            await program.probe()
            return now is not None and now.pid != before.pid and now.address == before.address

        await until(is_back)
    assert ("died", "it was killed by SIGKILL") in recorder.told


async def test_grandchildren_end_with_their_parent(tmp_path: Path) -> None:
    program = listener("it", free_port(), code=PARENT)
    async with supervisor_of(tmp_path, program).running():
        pid = read_stack(tmp_path)["it"].pid
        assert pid
        group = _group(pid)
        assert len(group) == 2
        os.kill(pid, signal.SIGKILL)

        async def gone() -> bool:
            return not any(lives(member) for member in group)

        await until(gone)


async def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    program = listener("it", free_port(), code=STUBBORN, grace_seconds=0.2)
    async with supervisor_of(tmp_path, program).running():
        pid = read_stack(tmp_path)["it"].pid
    assert not lives(pid)


async def test_a_process_that_cannot_start_is_named_with_its_log(tmp_path: Path) -> None:
    broken = Program(
        name="broken",
        address="127.0.0.1:1",
        kind="tcp",
        make=script("import sys; sys.exit('no such setting')"),
    )
    fine = listener("fine", free_port())
    with pytest.raises(StackError, match=r"broken: exited with code 1 3 times") as caught:
        async with supervisor_of(tmp_path, fine, broken).running():
            pytest.fail("it must not become ready")
    assert "no such setting" in str(caught.value)
    with pytest.raises(ConnectionRefusedError):
        await fine.probe()


async def test_a_process_that_is_late_is_named_with_its_log(tmp_path: Path) -> None:
    late = Program(
        name="late",
        address="127.0.0.1:1",
        kind="tcp",
        make=script("import time; print('still loading', flush=True); time.sleep(100)"),
    )
    with pytest.raises(StackError, match=r"not ready after 1 s") as caught:
        async with supervisor_of(tmp_path, late, start_seconds=1).running():
            pytest.fail("it must not become ready")
    assert "late at 127.0.0.1:1" in str(caught.value)
    assert "still loading" in str(caught.value)


async def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    missing = Program(
        name="missing",
        address="127.0.0.1:1",
        kind="tcp",
        make=lambda: Launch(["/no/such/program"]),
    )
    with pytest.raises(StackError, match=r"'/no/such/program' cannot be started"):
        async with supervisor_of(tmp_path, missing).running():
            pytest.fail("it must not become ready")


async def test_preparation_runs_first(tmp_path: Path) -> None:
    program = listener("it", free_port())
    prepared = tmp_path / "prepared"
    program = Program(
        name="it",
        address=program.address,
        kind=program.kind,
        make=lambda: Launch([sys.executable, "-IS", "-c", f"open({str(prepared)!r})\n{LISTEN}", program.address[10:]]),
        prepare=script(f"open({str(prepared)!r}, 'w')")(),
    )
    async with supervisor_of(tmp_path, program).running():
        assert prepared.exists()


async def test_failed_preparation_is_named(tmp_path: Path) -> None:
    program = listener("it", free_port())
    unprepared = Program(
        name="it",
        address=program.address,
        kind=program.kind,
        make=program.make,
        prepare=script("import sys; sys.exit('no disk')")(),
    )
    with pytest.raises(StackError, match=r"(?s)it: its preparation exited with code 1.*no disk"):
        async with supervisor_of(tmp_path, unprepared).running():
            pytest.fail("it must not become ready")


async def test_leftover_files_go_with_the_process(tmp_path: Path) -> None:
    segment = tmp_path / "shm_1"
    program = listener("it", free_port())
    code = f"open({str(segment)!r}, 'w')\n{LISTEN}"
    leaving = Program(
        name="it",
        address=program.address,
        kind=program.kind,
        make=script(code, program.address.rpartition(":")[2]),
        leftovers=str(tmp_path / "shm_*"),
    )
    async with supervisor_of(tmp_path, leaving).running():
        assert segment.exists()
    assert not segment.exists()


async def test_files_outside_the_data_directory_are_closed_to_other_users(tmp_path: Path) -> None:
    """Those of the start, and those that come later, whatever mode the program gives them."""
    segments = [tmp_path / "shm_1", tmp_path / "shm_2"]
    port = free_port()
    make_open = "import pathlib, sys; [p.touch() or p.chmod(0o644) for p in map(pathlib.Path, sys.argv[2:3])]\n"
    program = Program(
        name="it",
        address=f"127.0.0.1:{port}",
        kind="tcp",
        make=script(make_open + LISTEN, str(port), str(segments[0])),
        leftovers=str(tmp_path / "shm_*"),
    )
    async with supervisor_of(tmp_path, program).running():
        segments[1].touch()
        segments[1].chmod(0o666)

        async def closed() -> bool:
            return all(segment.stat().st_mode & 0o777 == 0o600 for segment in segments)

        await until(closed)


async def test_a_server_that_runs_already_is_only_waited_for(tmp_path: Path) -> None:
    port = free_port()
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    async with server:
        outside = Program(name="outside", address=f"127.0.0.1:{port}", kind="tcp")
        program = listener("it", free_port())
        async with supervisor_of(tmp_path, outside, program).running():
            members = json.loads(stack_path(tmp_path).read_text())
            assert members["outside"] == {"pid": None, "address": f"127.0.0.1:{port}", "kind": "tcp"}


SUPERVISE = """
import asyncio, os, sys
from pathlib import Path
from tests.support.small_programs import PARENT, Recorder, listener
from troupe.local.supervisor import Supervisor
from troupe.local.program import Program
import dataclasses

async def main():
    folder = Path(sys.argv[1])
    program = dataclasses.replace(listener("it", int(sys.argv[2]), code=PARENT), leftovers=str(folder / "shm_*"))
    supervisor = Supervisor(
        [program], folder=folder, env=dict(os.environ), reporter=Recorder(), start_seconds=20, log_bytes=1
    )
    async with supervisor.running():
        (folder / "shm_1").touch()
        await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SUPERVISE, str(tmp_path), str(free_port()))
    try:

        async def is_up() -> bool:
            return (tmp_path / "shm_1").exists()

        await until(is_up)
        pid = read_stack(tmp_path)["it"].pid
        assert pid
        group = _group(pid)
        assert len(group) == 2
    finally:
        process.kill()
        await process.wait()

    async def gone() -> bool:
        return not any(lives(member) for member in group) and not (tmp_path / "shm_1").exists()

    await until(gone)


def _group(pid: int) -> list[int]:
    """All processes of the group that `pid` leads."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pid:
            found.append(int(stat.parent.name))
    return found
