"""Which port a service gets."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from troupe.core.addresses import HostPort
from troupe.local.errors import StackError
from troupe.local.launch import free_port
from troupe.local.ports import Ports, read_ports, write_ports


@contextmanager
def taken_port(host: str = "127.0.0.1") -> Iterator[int]:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        yield taken.getsockname()[1]


def here(port: int) -> HostPort:
    return HostPort("127.0.0.1", port)


def no_note(message: str) -> None:
    pytest.fail(message)


def test_taken_ports_are_avoided_and_said() -> None:
    notes: list[str] = []
    with taken_port() as usual:
        address = Ports(note=notes.append).take("worker", usual)
    assert address.host == "127.0.0.1"
    assert address.port != usual
    assert notes == [f"port {usual} is taken: worker listens on {address.port}"]


def test_no_port_is_handed_out_twice() -> None:
    ports = Ports(note=no_note, prefer_usual=False)
    taken = [ports.take(str(number), 6379).port for number in range(50)]
    assert len(set(taken)) == 50
    assert 6379 not in taken


def test_the_port_of_the_last_time_goes_before_the_usual_one(tmp_path: Path) -> None:
    last, usual = free_port(), free_port()
    assert read_ports(tmp_path) == {}
    for prefer_usual in (True, False):
        ports = Ports(note=no_note, last={"gateway": last}, prefer_usual=prefer_usual)
        assert ports.take("gateway", usual) == here(last)
        write_ports(tmp_path, ports.taken)
        assert read_ports(tmp_path) == {"gateway": last}


def test_a_port_of_the_last_time_that_is_taken_is_replaced_and_said() -> None:
    notes: list[str] = []
    usual = free_port()
    with taken_port() as last:
        assert Ports(note=notes.append, last={"gateway": last}).take("gateway", usual) == here(usual)
    assert notes == [f"port {last} is taken: gateway listens on {usual}"]


@pytest.mark.parametrize("content", ["", "[]", '{"a": "x"}', '{"a": 0}', '{"a": 70000}', '{"a": null}'])
def test_a_broken_file_of_ports_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "ports.json").write_text(content)
    assert read_ports(tmp_path) == {}


def test_ports_that_cannot_be_kept_are_said(tmp_path: Path) -> None:
    (tmp_path / "ports.json.tmp").mkdir()
    with pytest.raises(StackError, match=r"ports\.json' cannot be written: Is a directory"):
        write_ports(tmp_path, {"gateway": 1})


def test_a_port_that_was_asked_for_is_taken_or_refused() -> None:
    with taken_port() as port:
        ports = Ports(note=no_note, wanted={"gateway": here(port)})
        with pytest.raises(
            StackError, match=rf"gateway cannot listen on 127.0.0.1:{port}, as it was told to: .*in use"
        ):
            ports.take("gateway", 8080)
    assert ports.take("gateway", 8080) == here(port)


def test_a_port_that_was_asked_for_goes_to_nobody_else() -> None:
    port = free_port()
    ports = Ports(note=lambda _: None, wanted={"gateway": here(port)}, last={"worker": port})
    assert ports.take("worker", port).port != port
    assert ports.take("gateway") == here(port)


def test_one_port_for_two_is_refused() -> None:
    with pytest.raises(StackError, match="gateway and worker are both told to listen on port 7000"):
        Ports(note=no_note, wanted={"gateway": here(7000), "worker": here(7000)})


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "[::1]", "[::]"])
def test_a_host_that_was_asked_for_is_kept(host: str) -> None:
    address = Ports(note=no_note, wanted={"gateway": HostPort(host, 0)}, prefer_usual=False).take("gateway", 8080)
    assert address.host == host
    assert address.port > 0


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(StackError, match=f"gateway cannot listen on {host}:8080, as it was told to"):
        Ports(note=no_note, wanted={"gateway": HostPort(host, 8080)}).take("gateway", 8080)
