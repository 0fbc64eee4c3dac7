"""Everything that is fuzzed, one module a layer."""

from collections.abc import Sequence
from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import bodies, connect, headers, http1, http2_client, http2_frames, http2_server, values

TARGETS: Final[Sequence[Target]] = (
    *http1.TARGETS,
    *bodies.TARGETS,
    *headers.TARGETS,
    *values.TARGETS,
    *http2_frames.TARGETS,
    *http2_client.TARGETS,
    *http2_server.TARGETS,
    *connect.TARGETS,
)
