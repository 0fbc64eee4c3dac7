"""The Redis that a test runs on: one server, and where a folder asks for it a Redis Cluster as well."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.redis import Redis, RedisServer
from tests.support.redis_cluster import PATIENT_TIMEOUT_MS, RedisCluster

_KINDS: Final[Mapping[str, Callable[[Path], Redis]]] = {
    "single": lambda data_dir: RedisServer(data_dir=data_dir),
    "cluster": lambda data_dir: RedisCluster(data_dir=data_dir, node_timeout_ms=PATIENT_TIMEOUT_MS),
}


def run_on_each_kind(metafunc: pytest.Metafunc) -> None:
    """For a `pytest_generate_tests`: what needs a Redis runs on each kind, the tests of one kind together.

    A module whose subject is elsewhere, in HTTP or telemetry, names one kind in `REDIS_KINDS`.
    """
    kinds = getattr(metafunc.module, "REDIS_KINDS", list(_KINDS))
    for fixture in ("redis_server", "own_redis"):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, kinds, indirect=True)


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis for the whole session; whoever kills it starts it again. One server unless parametrised."""
    redis = _KINDS[getattr(request, "param", "single")](tmp_path_factory.mktemp("redis"))
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()


@pytest.fixture
def own_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Redis]:
    """An empty Redis that a test may kill as it likes. The cluster is one for all, since it takes seconds to form."""
    if request.param == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        cluster.reset()
        yield cluster
        return
    redis = RedisServer(data_dir=tmp_path, append_fsync="always")
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()
