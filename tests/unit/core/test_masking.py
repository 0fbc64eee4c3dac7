"""No password is shown, whatever signs it has and wherever it stands."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from troupe.core.masking import masked, scrubbed


@given(st.text(st.characters(codec="utf-8"), max_size=20))
@example("user")
@example("host")
def test_what_stands_before_the_host_is_hidden(odd: str) -> None:
    password = f"SECRET{odd}TERCES"
    for url in (f"redis://:{password}@host:6379/0", f"rediss://user:{password}@[::1]:1,b:2", f"u:{password}@host:1"):
        assert "SECRET" not in masked(url)
        assert "TERCES" not in masked(url)
        assert "SECRET" not in scrubbed(f"wrong: {url}, or {password!r}", url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pa/ss@host:6379/0", "redis://***@host:6379/0"),
        ("redis://user:p@ss@host", "redis://***@host"),
        ("redis://user:p#a?s@a:1,b:2/0", "redis://***@a:1,b:2/0"),
        ("redis://user:password", "redis://***"),
        ("redis://host:6379?password=geheim", "redis://host:6379?***"),
        ("https://host/path#geheim", "https://host/path#***"),
        ("http://root:Milvus@[::1]:19530/db", "http://***@[::1]:19530/db"),
        ("http://localhost:*", "http://localhost:*"),
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("redis://ge heim", "redis://***"),
        ("plain text", "plain text"),
    ],
)
def test_what_is_left_tells_where(url: str, shown: str) -> None:
    assert masked(url) == shown
