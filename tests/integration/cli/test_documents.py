"""`troupe ingest`, `troupe docs` and `troupe search`, as a shell sees them."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.cli.test_commands import troupe
from tests.support.task_server import TaskServer, task_server


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[TaskServer, str]]:
    async with task_server() as (tasks, address):
        yield tasks, address


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


async def test_what_is_passed_over_is_said_with_its_count_and_reason(
    server: tuple[TaskServer, str], tmp_path: Path
) -> None:
    _, address = server
    write(tmp_path, "a.md", "b.xyz", "c.xyz", "d.zzz", ".hidden.md")
    code, out, _ = await troupe("ingest", str(tmp_path), "--target", address)
    assert code == 0
    assert out.splitlines() == [
        f"ingested 1 file of {tmp_path}: 1 new",
        "skipped 3 of a kind that is not read (.xyz 2, .zzz 1), 1 hidden",
    ]
    _, out, _ = await troupe("ingest", str(tmp_path), "--verbose", "--target", address)
    assert "skipped: d.zzz: of a kind that is not read" in out.splitlines()


async def test_ingest_tells_programs_all_that_it_tells_people(server: tuple[TaskServer, str], tmp_path: Path) -> None:
    tasks, address = server
    tasks.max_document_bytes = 3
    write(tmp_path, "a.md", "gone.md", "picture.zzz")
    await troupe("ingest", str(tmp_path), "--target", address)
    (tmp_path / "gone.md").unlink()
    (tmp_path / "large.md").write_text("large")
    code, out, _ = await troupe("ingest", str(tmp_path), "--json", "--target", address)
    *lines, last = map(json.loads, out.splitlines())
    assert code == 0
    assert {line["result"]["uri"].rpartition("/")[2] for line in lines} == {"a.md", "large.md"}
    assert last == {
        "summary": {
            "source": str(tmp_path),
            "files": 2,
            "new": 0,
            "unchanged": 1,
            "replaced": 0,
            "failed": 1,
            "passages": 0,
            "forgotten": 1,
            "skipped": {"of a kind that is not read": 1},
        }
    }


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff", "ü %E9".encode(), b"\xc3\x28 x", b"tab\there"])
async def test_a_folder_of_any_name_is_ingested_and_forgotten(
    server: tuple[TaskServer, str], tmp_path: Path, name: bytes
) -> None:
    tasks, address = server
    folder = tmp_path / os.fsdecode(name)
    write(folder, "a.md")
    code, out, err = await troupe("ingest", str(folder), "--target", address)
    assert (code, err) == (0, "")
    assert out.startswith("ingested 1 file of ")
    code, out, _ = await troupe("docs", "sources", "--forget", str(folder), "--target", address)
    assert (code, out) == (0, "let go of 1 document, 1 deleted\n")
    assert not tasks.documents


async def test_documents_are_listed_shown_and_deleted(server: tuple[TaskServer, str], tmp_path: Path) -> None:
    tasks, address = server
    write(tmp_path, "in/a.md", "in/sub/b.md")
    await troupe("ingest", str(tmp_path / "in"), "--target", address)
    await troupe("ingest", str(tmp_path / "in" / "sub"), "--target", address)
    _, out, _ = await troupe("docs", "list", "--target", address)
    assert [line.split("\t")[2] for line in out.splitlines()] == [
        str(tmp_path / "in" / "a.md"),
        str(tmp_path / "in" / "sub" / "b.md"),
    ]
    _, out, _ = await troupe("docs", "list", "--source", str(tmp_path / "in" / "sub"), "--json", "--target", address)
    assert json.loads(out)["sources"] == [str(tmp_path / "in"), str(tmp_path / "in" / "sub")]
    _, out, _ = await troupe("docs", "sources", "--target", address)
    assert [line.split("\t")[::2] for line in out.splitlines()] == [
        ["2", str(tmp_path / "in")],
        ["1", str(tmp_path / "in" / "sub")],
    ]
    _, out, _ = await troupe("docs", "show", str(tmp_path / "in" / "a.md"), "--target", address)
    assert out == f"{(tmp_path / 'in' / 'a.md').as_uri()}\n"
    code, out, _ = await troupe("docs", "delete", (tmp_path / "in" / "a.md").as_uri(), "--target", address)
    assert (code, out) == (0, "deleted 1 document\n")
    assert len(tasks.documents) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("docs", "show", "nothing"), "no document 'nothing' is stored"),
        (("docs", "delete", "nothing"), "no document 'nothing' is stored"),
        (("docs", "list", "--source", "nothing"), "'nothing' holds no documents"),
        (("docs", "sources", "--forget", "nothing"), "'nothing' holds no documents"),
        (("search", "x", "--docs", "/no/such/folder"), "'/no/such/folder' does not exist"),
    ],
)
async def test_what_is_not_there_is_one_line(
    server: tuple[TaskServer, str], arguments: tuple[str, ...], problem: str
) -> None:
    code, out, err = await troupe(*arguments, "--target", server[1])
    assert (code, out) == (2, "")
    assert problem in err
    assert err.count("\n") == 1


async def test_search_shows_passages_with_their_places(server: tuple[TaskServer, str], tmp_path: Path) -> None:
    tasks, address = server
    write(tmp_path, "in/a.md", "out/b.md")
    await troupe("ingest", str(tmp_path / "out"), "--target", address)
    code, out, err = await troupe("search", "the lamp", "--docs", str(tmp_path / "in"), "--target", address)
    assert code == 0
    assert out.splitlines() == ["1. in/a.md", "   about the lamp", "   in/a.md, 0–9"]
    assert err.startswith("ingested 1 file of ")
    _, out, _ = await troupe("search", "the lamp", "--limit", "1", "--json", "--target", address)
    assert json.loads(out)["text"] == "about the lamp"
    code, out, err = await troupe("search", "the lamp", "--source", "nobody's", "--target", address)
    assert (code, out, err) == (2, "", "troupe: nothing was found\n")
    assert [request.limit for request in tasks.search_requests] == [10, 1, 10]
