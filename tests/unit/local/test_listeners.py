"""Whose server answers at an address of this machine."""

import os
import socket
from ipaddress import ip_address

import pytest

from troupe.local.listeners import Listener, listeners, owner_of, parse


def listener(host: str, uid: int, port: int = 5) -> Listener:
    return Listener(ip_address(host), port, uid)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "0: 0100007F:C383 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 1",
            ("127.0.0.1", 50051, 1000),
        ),
        ("7: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1", ("0.0.0.0", 22, 0)),
        ("1: 0100007F:C383 0100007F:A000 01 00000000:00000000 00:00000000 00000000 1000 0 1", None),
        ("", None),
        ("sl local_address rem_address st", None),
    ],
)
def test_a_line_of_the_kernels_table(line: str, found: tuple[str, int, int] | None) -> None:
    expected = None if found is None else listener(found[0], found[2], found[1])
    assert parse(line) == expected


@pytest.mark.parametrize(
    ("bound", "asked", "answers"),
    [
        ("127.0.0.1", "127.0.0.1:{port}", True),
        ("127.0.0.1", "localhost:{port}", True),
        ("0.0.0.0", "127.0.0.1:{port}", True),
        ("::1", "[::1]:{port}", True),
        ("::", "[::1]:{port}", True),
        ("::", "127.0.0.1:{port}", True),
        ("127.0.0.1", "[::1]:{port}", False),
        ("127.0.0.1", "127.0.0.2:{port}", False),
        ("127.0.0.1", "10.0.0.1:{port}", False),
        ("127.0.0.1", "example.com:{port}", False),
        ("127.0.0.1", "unix:/run/{port}", False),
    ],
)
def test_a_server_of_ones_own_is_found(bound: str, asked: str, answers: bool) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.create_server((bound, 0), family=family, dualstack_ipv6=bound == "::") as server:
        port = server.getsockname()[1]
        assert owner_of(asked.format(port=port), listeners()) == (os.geteuid() if answers else None)


def test_the_socket_of_the_very_address_answers() -> None:
    both = [listener("0.0.0.0", 1), listener("127.0.0.1", 2), listener("::", 3)]
    assert owner_of("127.0.0.1:5", both) == 2
    assert owner_of("127.0.0.1:5", both[::2]) in (1, 3)
    assert owner_of("127.0.0.1:6", both) is None
