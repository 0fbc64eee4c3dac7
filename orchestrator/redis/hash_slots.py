"""Hash slots: which key belongs where in a Redis Cluster. Pure.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from binascii import crc_hqx
from collections.abc import Iterator, Sequence
from typing import Any, Final

from troupe.orchestrator.redis.endpoint import Address, Command

SLOTS: Final = 16384

# fmt: off
_KEYLESS: Final = frozenset({
    "ACL", "ASKING", "AUTH", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "DEBUG", "DISCARD",
    "ECHO", "EXEC", "FLUSHALL", "FLUSHDB", "FUNCTION", "HELLO", "INFO", "KEYS", "LATENCY", "MULTI",
    "PING", "PUBLISH", "ROLE", "SCAN", "SCRIPT", "SELECT", "SLOWLOG", "TIME", "WAIT",
})
# fmt: on
_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
_WITH_SUBCOMMAND: Final = frozenset({"MEMORY", "OBJECT", "XGROUP", "XINFO"})
_STREAM_READS: Final = frozenset({"XREAD", "XREADGROUP"})


def key_slot(key: str | bytes | int) -> int:
    """The slot of a key: CRC16 (XMODEM) of its hash tag, what stands between the first `{` and the next `}`."""
    raw = _encoded(key)
    if (start := raw.find(b"{")) >= 0:
        end = raw.find(b"}", start + 1)
        if end > start + 1:
            raw = raw[start + 1 : end]
    return crc_hqx(raw, 0) % SLOTS


def key_of(command: Command) -> str | bytes | int | None:
    """The first key that a command names; None when it names none, and so any node can run it."""
    name = _encoded(command[0]).decode().upper()
    if name in _KEYLESS:
        return None
    if name in _SCRIPTS:
        return command[3] if int(command[2]) else None
    if name in _STREAM_READS:
        return command[_position_of_streams(command) + 1]
    position = 2 if name in _WITH_SUBCOMMAND else 1
    return command[position] if len(command) > position else None


def masters_and_replicas(reply: Any, asked: Address) -> Iterator[tuple[range, Sequence[Address]]]:
    """Reads the reply to CLUSTER SLOTS: ranges of slots, each with the address of its master, then of its replicas.

    A node that does not know its own host says nothing, or `?`: then it is the host that was asked.
    """
    for first, last, *nodes in reply:
        addresses = [Address(_host(host, asked), port) for host, port, *_ in nodes]
        yield range(first, last + 1), addresses


def ask_target(refusal: str, asked: Address) -> Address | None:
    """Where `ASK slot host:port` sends a command; None for other refusals."""
    if not refusal.startswith("ASK "):
        return None
    host, _, port = refusal.split()[2].rpartition(":")
    return Address(_host(host.encode(), asked), int(port))


def _host(host: bytes | None, asked: Address) -> str:
    return asked.host if host is None or host in {b"", b"?"} else host.decode()


def _position_of_streams(command: Command) -> int:
    return next(i for i, word in enumerate(command) if _encoded(word).upper() == b"STREAMS")


def _encoded(word: str | bytes | int) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
