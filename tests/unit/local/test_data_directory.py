"""What stands in a data directory, and who may use it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from troupe.local.errors import StackError
from troupe.local.lock import holder, locked
from troupe.local.log_file import last_lines, rotate
from troupe.local.plain_path import plain_path
from troupe.local.stack_file import Member, read_stack, remove_stack, running_stack, write_stack


def test_a_second_stack_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(StackError, match=f"already runs on .* \\(pid {os.getpid()}\\)"),
        locked(tmp_path),
    ):
        pytest.fail("it must be refused")
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="--data-dir"), locked(tmp_path / "file" / "data"):
        pytest.fail("it must be refused")


def test_the_stack_file_comes_back(tmp_path: Path) -> None:
    members = {"redis": Member(None, "host:1", "redis"), "worker": Member(os.getpid(), "127.0.0.1:2", "grpc")}
    write_stack(tmp_path, members)
    assert read_stack(tmp_path) == members
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]
    remove_stack(tmp_path)
    assert read_stack(tmp_path) == {}


def test_a_stack_runs_while_its_process_does(tmp_path: Path) -> None:
    members = {"worker": Member(os.getpid(), "127.0.0.1:2", "grpc")}
    write_stack(tmp_path, members)
    assert holder(tmp_path) is None
    assert running_stack(tmp_path) == {}
    with locked(tmp_path):
        assert holder(tmp_path) == os.getpid()
        assert running_stack(tmp_path) == members
    assert holder(tmp_path) is None
    assert running_stack(tmp_path) == {}


@pytest.mark.parametrize("content", ["", "1", "x 1", "{ended} 1", "{self} 1", "1 2 3"])
def test_a_lock_file_of_a_process_that_is_gone_does_not_count(tmp_path: Path, content: str) -> None:
    """Its number may belong to another process by now."""
    ended = subprocess.Popen([sys.executable, "-IS", "-c", ""])
    ended.wait()
    (tmp_path / "lock").write_text(content.format(ended=ended.pid, self=os.getpid()))
    assert holder(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": {"pid": 1}}'])
def test_a_broken_stack_file_does_not_count(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    assert read_stack(tmp_path) == {}


def test_large_logs_are_rotated_and_three_kept(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "x.log"
    for content in "abcde":
        rotate(log, 0)
        log.write_text(content)
    rotate(log, 10)
    kept = {path.name: path.read_text() for path in log.parent.iterdir()}
    assert kept == {"x.log": "e", "x.log.1": "d", "x.log.2": "c", "x.log.3": "b"}


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_lines(log) == []
    log.write_text("".join(f"{number}\n" for number in range(100)))
    assert last_lines(log, count=2) == ["98", "99"]
    assert last_lines(log, since=log.stat().st_size - 3) == ["99"]


def test_paths_that_shells_would_read_get_a_link(tmp_path: Path) -> None:
    with plain_path(tmp_path) as same:
        assert same == tmp_path
    odd = tmp_path / "with space & sign"
    odd.mkdir()
    with plain_path(odd) as link:
        assert " " not in str(link)
        assert link.resolve() == odd.resolve()
    assert not link.exists()
