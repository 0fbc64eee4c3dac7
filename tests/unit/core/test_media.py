"""One table says what is read, by name, and why the rest is not."""

import pytest

from troupe.core.media import (
    BY_SUFFIX,
    READABLE,
    Unread,
    is_binary,
    kind_of_unread,
    media_type_of_path,
    why_unread,
)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("a/b/Notes.MD", "text/markdown"),
        ("index.xhtml", "text/html"),
        ("guide.rst", "text/x-rst"),
        ("guide.adoc", "text/asciidoc"),
        ("prices.csv", "text/csv"),
        ("events.jsonl", "application/jsonl"),
        ("mail.eml", "message/rfc822"),
        ("Budget.XLSX", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("main.rs", "text/x-rust"),
        ("query.sql", "text/x-sql"),
        ("Dockerfile", "text/x-shell"),
        ("README", "text/plain"),
        ("README.de", "text/plain"),
        ("photo.jpeg", None),
        ("archive.tar.gz", None),
        ("letters", None),
        ("", None),
    ],
)
def test_media_types_by_name(path: str, media_type: str | None) -> None:
    assert media_type_of_path(path) == media_type


def test_the_table_has_one_type_a_suffix() -> None:
    assert set(BY_SUFFIX.values()) == READABLE
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in BY_SUFFIX)


@pytest.mark.parametrize(
    ("path", "size_bytes", "head", "reason"),
    [
        ("a.md", 10, b"# words", None),
        (".env", 10, b"", Unread.HIDDEN),
        ("a.png", 10, b"", Unread.UNKNOWN),
        ("a.md", 0, b"", Unread.EMPTY),
        ("a.md", 101, b"", Unread.TOO_LARGE),
        ("a.ts", 100, b"G@\x00\x10\x00\x00\xb0\x0d", Unread.BINARY),
        ("a.pdf", 100, b"%PDF-1.4\n\x00\x01\x02\x03", None),
        ("a.txt", 10, "wide".encode("utf-16"), None),
        ("a.txt", 10, "wide".encode("utf-16-le"), None),
        ("a.txt", 10, "wide".encode("utf-32-be"), None),
        ("a.txt", 10, b"\x1b[0mcoloured\x0c", None),
        ("a.html", 10, b"\x1b$BJV6b$K$O==1D\x1b(B", None),
    ],
)
def test_why_a_file_is_not_read(path: str, size_bytes: int, head: bytes, reason: Unread | None) -> None:
    assert why_unread(path, size_bytes=size_bytes, limit_bytes=100, head=head) == reason


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a.JPG", "a picture"),
        ("a.doc", "save it as .docx"),
        ("a.odt", "save it as"),
        ("a.qqq", "a .qqq file"),
        ("a", ""),
    ],
)
def test_what_is_not_read_is_named(path: str, words: str) -> None:
    assert words in kind_of_unread(path)


@pytest.mark.parametrize("head", [b"\x7fELF\x02\x01\0\0\0\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0" * 64])
def test_binary(head: bytes) -> None:
    assert is_binary(head)
