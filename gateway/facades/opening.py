"""What a facade and the application promise each other."""

from typing import Protocol

from troupe.gateway.dialects import Asked
from troupe.gateway.downstream.exchange import Downstream, Upload


class OpenedCall(Upload, Protocol):
    """A call on the side of who opened it."""

    def start_response(self) -> None:
        """Begins the response although the backend has not."""
        ...


class OpenCall(Protocol):
    """Makes a call in the name of a request; its answer goes to a `Downstream`, before this returns where it fails."""

    def __call__(self, asked: Asked, downstream: Downstream) -> OpenedCall:
        """Opens it."""
        ...


class Facade(Protocol):
    """A request that is answered by calls."""

    def open(self, calls: OpenCall, downstream: Downstream) -> Upload:
        """Answers it."""
        ...
