"""Nobody else may read what a stack keeps, nor open where its servers listen."""

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from troupe.local.private import close_to_others, make_private, private_files
from troupe.local.sockets import sockets_folder

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def old_folder(folder: Path) -> Path:
    """As a version that knew no modes has left it."""
    for name in ("logs", "redis/appendonlydir", "milvus/collections/a", "models/generator/1", "triton/backends"):
        (folder / name).mkdir(parents=True)
    for name in ("lock", "stack.json", "logs/redis.log", "redis/appendonlydir/a.aof", "milvus/collections/a/b"):
        (folder / name).write_text("x")
        (folder / name).chmod(0o644)
    (folder / "triton" / "stub").touch(mode=0o755)
    folder.chmod(0o755)
    return folder


def test_what_was_open_is_closed(tmp_path: Path) -> None:
    folder = old_folder(tmp_path / "data")
    assert make_private(folder) == []
    assert [path for path in (folder, *folder.rglob("*")) if mode(path) & 0o077] == []
    assert mode(folder / "triton" / "stub") == 0o700
    assert mode(folder / "lock") == 0o600


def test_a_folder_with_other_things_in_it_keeps_its_mode_and_theirs(tmp_path: Path) -> None:
    folder = old_folder(tmp_path / "data")
    (folder / "notes.txt").touch(mode=0o644)
    assert make_private(folder) == []
    assert (mode(folder), mode(folder / "notes.txt")) == (0o755, 0o644)
    assert (mode(folder / "redis"), mode(folder / "stack.json")) == (0o700, 0o600)


def test_links_lead_to_no_other_place(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch(mode=0o644)
    (tmp_path / "data" / "logs").mkdir(parents=True)
    (tmp_path / "data" / "logs" / "link").symlink_to(outside)
    (tmp_path / "data" / "milvus").symlink_to(tmp_path)
    make_private(tmp_path / "data")
    assert mode(outside) == 0o644


def test_what_vanishes_meanwhile_is_no_fault(tmp_path: Path) -> None:
    assert list(close_to_others(tmp_path / "gone")) == []


def test_a_folder_that_others_can_write_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    tmp_path.chmod(0o777)
    (note,) = make_private(tmp_path)
    assert note.startswith("other users can write into")
    tmp_path.chmod(0o700)


@ROOT
def test_what_belongs_to_another_user_is_said_to_root(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    os.chown(tmp_path / "redis", 65534, 65534)
    (note,) = make_private(tmp_path)
    assert note.endswith("belongs to another user (uid 65534), who can change it")


def test_new_files_are_private_inside_the_block_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with private_files():
            (tmp_path / "inside").touch()
            (tmp_path / "folder").mkdir()
        (tmp_path / "after").touch()
    finally:
        os.umask(before)
    assert (mode(tmp_path / "inside"), mode(tmp_path / "folder")) == (0o600, 0o700)
    assert mode(tmp_path / "after") == 0o644


def test_where_the_folder_for_sockets_cannot_be_made_a_short_one_is(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with sockets_folder(tmp_path) as folder:
        assert folder != tmp_path / "run"
        assert mode(folder) == 0o700


@pytest.mark.parametrize("name", ["short", "a" * 120, "with space", "ünicode", "per%cent"])
def test_sockets_fit_and_are_closed_to_others(name: str) -> None:
    """A path too long for a socket, or one that URIs would read otherwise, is replaced by a short one."""
    with tempfile.TemporaryDirectory() as parent:
        data = Path(parent, name)
        data.mkdir()
        with sockets_folder(data) as folder, socket.socket(socket.AF_UNIX) as one:
            one.bind(str(folder / "milvus.sock:19530"))
            assert mode(folder) == 0o700
            assert (folder == data / "run") == (name == "short")
        assert folder.exists() == (name == "short")
