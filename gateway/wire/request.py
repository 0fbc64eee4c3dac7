"""The head of a request, whatever the version of HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass

from troupe.gateway.wire.hpack_blocks import Headers


@dataclass(frozen=True, slots=True, eq=False)
class RequestHead:
    """What a client asks for. Equal heads mostly are the same object, so that what follows from one can be kept."""

    method: bytes
    target: bytes
    headers: Headers
    """Names are in lower case."""
    fields: Mapping[bytes, bytes]
    http2: bool

    def get(self, name: bytes) -> bytes:
        """The value of a header, empty when it is not there; several of a name are joined."""
        return self.fields.get(name, b"")
