"""File URLs as people read them."""

from pathlib import Path

import pytest

from troupe.core.file_urls import brief, file_path


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (Path("/home/a b/docs/نص 1.md").as_uri(), "docs/نص 1.md"),
        (Path("/notes.txt").as_uri(), "notes.txt"),
        ("docs/a%20b.md", "docs/a%20b.md"),
        ("https://example.org/a/b/c.html", "https://example.org/a/b/c.html"),
        ("", ""),
    ],
)
def test_brief(uri: str, expected: str) -> None:
    assert brief(uri) == expected


def test_a_url_names_its_path() -> None:
    assert file_path(Path("/a b/ن#.md").as_uri()) == "/a b/ن#.md"
    assert file_path("a%20b.md") == "a%20b.md"
