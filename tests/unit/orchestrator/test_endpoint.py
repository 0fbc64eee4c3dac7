"""Redis URLs."""

import pytest

from troupe.orchestrator.redis.client import Endpoint


@pytest.mark.parametrize(
    ("url", "address", "greeting"),
    [
        ("redis://localhost", "localhost:6379", []),
        ("redis://10.0.0.1:7000/2", "10.0.0.1:7000", [("SELECT", 2)]),
        ("redis://:p%40ss@h", "h:6379", [("AUTH", "p@ss")]),
        ("rediss://me:secret@h:1/0", "h:1", [("AUTH", "me", "secret")]),
        ("redis://me:a%2Cb@h1:1,h2,[::1]:3", "h1:1,h2:6379,::1:3", [("AUTH", "me", "a,b")]),
        ("unix:///run/redis.sock", "/run/redis.sock", []),
        ("unix:///a%20b/%3F%23?db=3", "/a b/?#", [("SELECT", 3)]),
        ("unix://me:se%2Fcret@/run/r:6379", "/run/r:6379", [("AUTH", "me", "se/cret")]),
    ],
)
def test_a_url_says_where_and_how(url: str, address: str, greeting: list[tuple[str | int, ...]]) -> None:
    endpoint = Endpoint.parse(url)
    assert str(endpoint) == address
    assert list(endpoint.greeting) == greeting
    assert endpoint.tls == url.startswith("rediss")


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:6379", "http://h", "redis://", "redis://h/zero", "redis://h,", "redis://u:s@", "redis://h:x"),
        *("unix://", "unix://host/path", "unix:relative", "unix:///p?db=x", "unix:///p?dbs=1", "unix:///p#1"),
        "redis://h/²",
    ],
)
def test_what_is_no_redis_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must look like redis://"):
        Endpoint.parse(url)


def test_a_cluster_has_one_database() -> None:
    with pytest.raises(ValueError, match="database 0 only"):
        Endpoint.parse("redis://h1,h2/1")
