import socket

from troupe.local.ports import Ports


def test_taken_ports_are_avoided_and_said() -> None:
    notes: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        usual = taken.getsockname()[1]
        port = Ports(note=notes.append).take("redis", usual)
    assert port != usual
    assert notes == [f"port {usual} is taken: redis listens on {port}"]


def test_no_port_is_handed_out_twice() -> None:
    ports = Ports(note=print, prefer_usual=False)
    taken = [ports.take("x", 6379) for _ in range(50)]
    assert len(set(taken)) == 50
    assert 6379 not in taken
