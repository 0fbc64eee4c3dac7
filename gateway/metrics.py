"""The gateway's metrics."""

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from gateway.wire import status
from troupe.core.telemetry.metrics import OTHER

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3600)

CALLS: Final = Counter("troupe_gateway_calls", "Calls that have ended.", ["method", "protocol", "status"])
CALL_SECONDS: Final = Histogram(
    "troupe_gateway_call_seconds", "From the head of a request to its end.", ["method"], buckets=_SECONDS
)
OPEN_CALLS: Final = Gauge("troupe_gateway_open_calls", "Calls that have not ended.")
REQUEST_BYTES: Final = Counter("troupe_gateway_request_bytes", "Bytes of messages that backends were sent.")
RESPONSE_BYTES: Final = Counter("troupe_gateway_response_bytes", "Bytes of messages that backends have sent.")
CONNECTIONS: Final = Gauge("troupe_gateway_connections", "Connections of clients that are open.", ["http"])
BACKEND_CONNECTIONS: Final = Gauge("troupe_gateway_backend_connections", "Connections to a backend.", ["backend"])
BACKEND_HEALTHY: Final = Gauge(
    "troupe_gateway_backend_healthy", "1 for a backend that is connected and says that it serves.", ["backend"]
)
REFUSED: Final = Counter(
    "troupe_gateway_refused", "Requests and connections that were refused before they became calls.", ["reason"]
)


class CallMetrics:
    """The series of calls, looked up once each: `labels()` costs more than the counting."""

    def __init__(self, is_known: Callable[[bytes], bool]) -> None:
        self._is_known = is_known
        self._ended: dict[tuple[bytes, str, bytes], Counter] = {}
        self._seconds: dict[bytes, Histogram] = {}

    def ended(
        self, path: bytes, protocol: str, code: bytes, *, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Counts a call; methods that are not known by a descriptor share the label `other`."""
        if not self._is_known(path):
            path = b""
        key = (path, protocol, code)
        counter = self._ended.get(key)
        if counter is None:
            counter = self._ended[key] = CALLS.labels(_label(path), protocol, status.name_of(code))
        counter.inc()
        histogram = self._seconds.get(path)
        if histogram is None:
            histogram = self._seconds[path] = CALL_SECONDS.labels(_label(path))
        histogram.observe(seconds)
        REQUEST_BYTES.inc(request_bytes)
        RESPONSE_BYTES.inc(response_bytes)


def _label(path: bytes) -> str:
    return path.decode().removeprefix("/") or OTHER


def measure_backends(connections: Callable[[], Mapping[str, int]], healthy: Callable[[], Mapping[str, bool]]) -> None:
    """Looks at the backends whenever the metrics are read."""

    def measure(gauge: Gauge, backend: str, values: Callable[[], Mapping[str, float]]) -> None:
        gauge.labels(backend).set_function(lambda: values()[backend])

    for backend in connections():
        measure(BACKEND_CONNECTIONS, backend, connections)
        measure(BACKEND_HEALTHY, backend, healthy)
