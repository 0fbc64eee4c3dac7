"""A folder's documents reach the memory."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.task_server import TaskServer, task_server
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.memory.v1.memory_service_pb2 import IngestResult, IngestStatus
from troupe.client import ClientSettings, Folder, TroupeClient, TroupeError
from troupe.client.folder import file_uri


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[TaskServer, TroupeClient]]:
    async with task_server() as (tasks, address), TroupeClient(settings=ClientSettings(target=address)) as client:
        yield tasks, client


async def ingest(client: TroupeClient, folder: Path | Folder) -> list[IngestResult]:
    return [response.result async for response in client.ingest(folder) if response.HasField("result")]


def by_name(results: Sequence[IngestResult]) -> dict[str, IngestResult]:
    return {result.uri.rpartition("/")[2]: result for result in results}


async def test_documents_come_from_their_folder_with_the_urls_of_their_files(
    served: tuple[TaskServer, TroupeClient], tmp_path: Path
) -> None:
    tasks, client = served
    (tmp_path / "sub").mkdir()
    (tmp_path / "guide.md").write_text("# Guide")
    (tmp_path / "sub" / "نص.txt").write_text("سلام")
    (tmp_path / "code.py").write_text("pass")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    results = await ingest(client, tmp_path)
    names = ("code.py", "guide.md", "sub/نص.txt")
    assert [result.uri for result in results] == [(tmp_path / name).as_uri() for name in names]
    documents = [document for request in tasks.ingest_requests for document in request.documents]
    assert {request.source for request in tasks.ingest_requests} == {str(tmp_path)}
    assert [document.media_type for document in documents] == ["text/x-python", "text/markdown", "text/plain"]
    assert documents[2].content.decode() == "سلام"


async def test_what_is_too_large_fails_alone(served: tuple[TaskServer, TroupeClient], tmp_path: Path) -> None:
    tasks, client = served
    tasks.max_document_bytes = 100
    (tmp_path / "large.txt").write_bytes(b"x" * 101)
    (tmp_path / "small.txt").write_bytes(b"x")
    results = by_name(await ingest(client, tmp_path))
    assert results["small.txt"].status == IngestStatus.INGEST_STATUS_CREATED
    assert results["large.txt"].status == IngestStatus.INGEST_STATUS_FAILED
    assert results["large.txt"].error.reason == ErrorReason.ERROR_REASON_DOCUMENT_TOO_LARGE
    assert "101 bytes" in results["large.txt"].error.message


async def test_what_cannot_be_read_fails_alone(served: tuple[TaskServer, TroupeClient], tmp_path: Path) -> None:
    _, client = served
    (tmp_path / "there.txt").write_text("x")
    long = tmp_path.joinpath(*["ن" * 100] * 3, "long.txt")
    long.parent.mkdir(parents=True)
    long.write_text("x")
    results = by_name(await ingest(client, tmp_path))
    assert "longer than 1,024" in results["long.txt"].error.message
    assert results["long.txt"].error.reason == ErrorReason.ERROR_REASON_UNREADABLE_DOCUMENT
    assert results["there.txt"].status == IngestStatus.INGEST_STATUS_CREATED


async def test_large_folders_travel_in_batches(served: tuple[TaskServer, TroupeClient], tmp_path: Path) -> None:
    tasks, client = served
    for number in range(5):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * 900_000)
    assert len(await ingest(client, tmp_path)) == 5
    assert [len(request.documents) for request in tasks.ingest_requests] == [2, 2, 1]


async def test_two_folders_may_hold_the_same_path(served: tuple[TaskServer, TroupeClient], tmp_path: Path) -> None:
    tasks, client = served
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text(name)
    await asyncio.gather(ingest(client, tmp_path / "one"), ingest(client, tmp_path / "two"))
    assert {uri: list(document.sources) for uri, document in tasks.documents.items()} == {
        (tmp_path / name / "README.md").as_uri(): [str(tmp_path / name)] for name in ("one", "two")
    }


def test_a_folder_is_the_same_by_whichever_path_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a b.md").write_text("x")
    (tmp_path / "link").symlink_to("docs")
    (tmp_path / "docs" / "again.md").symlink_to("a b.md")
    named = [tmp_path / "docs", tmp_path / "docs" / ".." / "docs", tmp_path / "link"]
    folders = [Folder.scan(path) for path in named]
    assert {folder.label for folder in folders} == {str(tmp_path / "docs")}
    assert [[file_uri(file) for file in folder.files] for folder in folders] == [
        [(tmp_path / "docs" / "a b.md").as_uri()]
    ] * 3


async def test_one_file(served: tuple[TaskServer, TroupeClient], tmp_path: Path) -> None:
    tasks, client = served
    (tmp_path / "a.md").write_text("a")
    (tmp_path / "b.md").write_text("b")
    folder = Folder.scan(tmp_path / "a.md")
    assert [result.uri for result in await ingest(client, folder)] == [(tmp_path / "a.md").as_uri()]
    assert tasks.documents[(tmp_path / "a.md").as_uri()].sources == [folder.filter["folder"]]


async def forget_count(client: TroupeClient, folder: Folder) -> list[int]:
    forgotten: list[int] = []
    async for _ in client.ingest(folder, on_forgotten=forgotten.append):
        pass
    return forgotten


def stored(tasks: TaskServer) -> list[str]:
    return sorted(uri.rpartition("/")[2] for uri in tasks.documents)


async def test_documents_whose_files_are_gone_are_forgotten(
    served: tuple[TaskServer, TroupeClient], tmp_path: Path
) -> None:
    tasks, client = served
    docs, other = tmp_path / "docs", tmp_path / "other"
    for path in (docs / "a.md", docs / "b.md", docs / "c.md", docs / "d.md", other / "e.md"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert await forget_count(client, Folder.scan(docs)) == []
    assert await forget_count(client, Folder.scan(other)) == []
    (docs / "a.md").unlink()
    (docs / "d.md").unlink()
    assert await forget_count(client, Folder.scan(docs, only=[Path("b.md")])) == []
    assert await forget_count(client, Folder.scan(docs / "b.md")) == []
    assert stored(tasks) == ["a.md", "b.md", "c.md", "d.md", "e.md"]
    assert await forget_count(client, Folder.scan(docs)) == [2]
    assert stored(tasks) == ["b.md", "c.md", "e.md"]


async def test_what_cannot_be_listed_is_not_forgotten(served: tuple[TaskServer, TroupeClient], tmp_path: Path) -> None:
    tasks, client = served
    for name in ("a.md", "closed/b.md", "closed-off/c.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    await ingest(client, tmp_path)
    seen = Folder(tmp_path, [tmp_path / "a.md"], str(tmp_path), {tmp_path / "closed": "permission denied"})
    assert await forget_count(client, seen) == [1]
    assert stored(tasks) == ["a.md", "b.md"]


@pytest.mark.parametrize(("name", "problem"), [("missing", "does not exist"), ("x.bin", "of a kind that is not read")])
def test_a_folder_without_documents_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(TroupeError, match=problem) as caught:
        Folder.scan(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message


async def test_a_folder_that_was_emptied_forgets_what_it_had(
    served: tuple[TaskServer, TroupeClient], tmp_path: Path
) -> None:
    tasks, client = served
    (tmp_path / "a.md").write_text("x")
    await ingest(client, tmp_path)
    (tmp_path / "a.md").unlink()
    assert await forget_count(client, Folder.scan(tmp_path)) == [1]
    assert stored(tasks) == []
    with pytest.raises(TroupeError, match="holds no file that can be ingested") as caught:
        await ingest(client, tmp_path)
    assert str(tmp_path) in caught.value.message


async def test_a_file_that_is_gone_is_forgotten_whichever_folder_stored_it(
    served: tuple[TaskServer, TroupeClient], tmp_path: Path
) -> None:
    tasks, client = served
    for name in ("in/a.md", "in/sub/b.md", "in/sub/c.md", "in/d.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    await ingest(client, tmp_path / "in")
    await ingest(client, tmp_path / "in" / "sub")
    await ingest(client, tmp_path / "in" / "d.md")
    (tmp_path / "in" / "sub" / "b.md").unlink()
    assert await forget_count(client, Folder.scan(tmp_path / "in")) == [1]
    assert stored(tasks) == ["a.md", "c.md", "d.md"]
    (tmp_path / "in" / "sub" / "c.md").unlink()
    (tmp_path / "in" / "sub" / "e.md").write_text("x")
    assert await forget_count(client, Folder.scan(tmp_path / "in" / "sub")) == [1]
    assert stored(tasks) == ["a.md", "d.md", "e.md"]


async def test_a_file_that_only_left_the_folder_stays_with_the_others(
    served: tuple[TaskServer, TroupeClient], tmp_path: Path
) -> None:
    tasks, client = served
    for name in ("in/a.md", "out/b.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "in" / "link.md").symlink_to(tmp_path / "out" / "b.md")
    await ingest(client, tmp_path / "in")
    await ingest(client, tmp_path / "out")
    (tmp_path / "in" / "link.md").unlink()
    assert await forget_count(client, Folder.scan(tmp_path / "in")) == [1]
    assert stored(tasks) == ["a.md", "b.md"]


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff\xfe", b"a%E9\xe9", b"\xd0 (old)", "日本".encode("shift_jis")])
async def test_a_folder_whose_name_is_not_utf_8_is_a_source(
    served: tuple[TaskServer, TroupeClient], tmp_path: Path, name: bytes
) -> None:
    tasks, client = served
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    (folder / os.fsdecode(b"\xe9.md")).write_text("x")
    (folder / "a.md").write_text("x")
    scanned = Folder.scan(folder)
    assert {result.status for result in await ingest(client, scanned)} == {IngestStatus.INGEST_STATUS_CREATED}
    scanned.label.encode()
    assert scanned.label == folder.as_uri()
    (folder / "a.md").unlink()
    assert await forget_count(client, Folder.scan(folder)) == [1]
    assert stored(tasks) == ["%E9.md"]


def test_what_is_passed_over_is_counted_by_its_reason(tmp_path: Path) -> None:
    for name in ("a.md", ".hidden.md", ".git/b.md", "node_modules/c.md", "code.xyz", "picture.zzz", "real/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "circle.md").symlink_to(tmp_path / "circle.md")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe.md")
    folder = Folder.scan(tmp_path)
    assert [file.name for file in folder.files] == ["a.md", "d.md"]
    assert {reason: sorted(path.name for path in paths) for reason, paths in folder.skipped.items()} == {
        "hidden": [".git", ".hidden.md", "node_modules"],
        "of a kind that is not read": ["code.xyz", "picture.zzz"],
        "a broken link": ["circle.md", "gone.md"],
        "a link to a folder": ["linked"],
        "no ordinary file": ["pipe.md"],
    }


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.md", ".hidden.md", ".git/b.md", "node_modules/c.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert Folder.scan(tmp_path).files == [tmp_path / "a.md"]


def test_parts_of_a_folder(tmp_path: Path) -> None:
    for name in ("README.md", "docs/a.md", "src/b.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    folder = Folder.scan(tmp_path, only=[Path("docs"), Path("README.md")])
    assert list(folder.files) == [tmp_path / "README.md", tmp_path / "docs" / "a.md"]
    for outside in ("/etc", "../elsewhere"):
        with pytest.raises(TroupeError, match="not inside"):
            Folder.scan(tmp_path, only=[Path(outside)])
