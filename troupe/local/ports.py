"""Where the processes of a stack listen."""

from collections.abc import Callable

from troupe.local.launch import free_port

_HOST = "127.0.0.1"


class Ports:
    """Hands out each port once: the usual one, or a free one where it is taken."""

    def __init__(self, *, note: Callable[[str], None], prefer_usual: bool = True) -> None:
        self._note = note
        self._prefer_usual = prefer_usual
        self._taken: set[int] = set()

    def take(self, name: str, usual: int = 0) -> int:
        """A port for `name`; says so when it is not the usual one though that was wanted."""
        preferred = usual if self._prefer_usual and usual not in self._taken else 0
        port = free_port(preferred)
        while port in self._taken:
            port = free_port()
        if preferred and port != preferred:
            self._note(f"port {usual} is taken: {name} listens on {port}")
        self._taken.add(port)
        return port


def address(port: int) -> str:
    """The port on loopback."""
    return f"{_HOST}:{port}"
