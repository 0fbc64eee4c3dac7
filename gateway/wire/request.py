"""The head of a request, whatever the HTTP version."""

from collections.abc import Mapping
from dataclasses import dataclass

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, eq=False)
class RequestHead:
    """The head of a request. Names of headers are in lower case."""

    method: bytes
    target: bytes
    headers: Headers
    fields: Mapping[bytes, bytes]
    http2: bool

    def get(self, name: bytes) -> bytes:
        """The value of a header, empty when it is not there; several of a name are joined by commas."""
        return self.fields.get(name, b"")
