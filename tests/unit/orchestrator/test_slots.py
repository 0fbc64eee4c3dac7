"""Which key belongs where, and what a cluster says about it."""

import pytest

from troupe.orchestrator.redis.endpoint import Address, Command
from troupe.orchestrator.redis.hash_slots import ask_target, key_of, key_slot, masters_and_replicas

_ASKED = Address("10.0.0.1", 7000)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "k"), "k"),
        (("evalsha", b"sha", 2, b"k", "other", "argument"), b"k"),
        (("EVAL", "return 1", 0, "argument"), None),
        (("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "BLOCK", 5, "STREAMS", "k", "other", ">", ">"), "k"),
        (("XREAD", "streams", "k", "$"), "k"),
        (("XGROUP", "CREATE", "k", "g", "0", "MKSTREAM"), "k"),
        (("INFO", "cluster"), None),
        (("SCRIPT", "LOAD", "return 1"), None),
        (("RANDOMKEY",), None),
    ],
)
def test_a_command_goes_where_its_first_key_is(command: Command, key: str | bytes | None) -> None:
    assert key_of(command) == key


def test_a_hash_tag_decides_the_slot() -> None:
    assert key_slot("123456789") == 0x31C3
    assert key_slot("troupe:{p01}:task:a") == key_slot(b"{p01}") == key_slot("p01")
    assert key_slot("a{}b{c}") != key_slot("c")


def test_a_node_that_does_not_know_its_host_is_the_one_that_was_asked() -> None:
    reply = [
        [0, 99, [b"10.0.0.2", 7001, b"id"], [b"", 7002, b"id"]],
        [100, 100, [None, 7003, b"id", []], [b"?", 7004, b"id"]],
    ]
    assert list(masters_and_replicas(reply, _ASKED)) == [
        (range(100), [Address("10.0.0.2", 7001), Address("10.0.0.1", 7002)]),
        (range(100, 101), [Address("10.0.0.1", 7003), Address("10.0.0.1", 7004)]),
    ]


def test_only_ask_sends_a_command_elsewhere_once() -> None:
    assert ask_target("ASK 3999 10.0.0.9:7009", _ASKED) == Address("10.0.0.9", 7009)
    assert ask_target("ASK 3999 :7009", _ASKED) == Address("10.0.0.1", 7009)
    assert ask_target("MOVED 3999 10.0.0.9:7009", _ASKED) is None
