"""The gateway's metrics."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

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


class CallMetrics:
    """The series of calls, looked up once each: `labels()` costs more than the counting."""

    def __init__(self, is_known: Callable[[bytes], bool]) -> None:
        self._is_known = is_known
        self._ended: dict[tuple[bytes, str, str], Counter] = {}
        self._seconds: dict[bytes, Histogram] = {}

    def ended(
        self, path: bytes, protocol: str, code: bytes, *, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Counts a call; methods that are not known by a descriptor share the label `other`."""
        if not self._is_known(path):
            path = b""
        key = (path, protocol, status.name_of(code))
        counter = self._ended.get(key)
        if counter is None:
            counter = self._ended[key] = CALLS.labels(_label(path), protocol, key[2])
        counter.inc()
        histogram = self._seconds.get(path)
        if histogram is None:
            histogram = self._seconds[path] = CALL_SECONDS.labels(_label(path))
        histogram.observe(seconds)
        REQUEST_BYTES.inc(request_bytes)
        RESPONSE_BYTES.inc(response_bytes)


def _label(path: bytes) -> str:
    return path.decode().removeprefix("/") or OTHER


class Source(Protocol):
    """What is looked at when the metrics are read."""

    def connections(self) -> Mapping[str, int]:
        """Open connections of clients, by version of HTTP."""
        ...

    def refusals(self) -> Mapping[str, int]:
        """What was refused before it became a call, since the start, by reason."""
        ...


class Backends(Protocol):
    """The same of the backends."""

    @property
    def connections(self) -> Mapping[str, int]:
        """Connections to each."""
        ...

    @property
    def healthy(self) -> Mapping[str, bool]:
        """Whether each is connected and says that it serves."""
        ...


class _Collector:
    def __init__(self, server: Source, backends: Backends) -> None:
        self._server = server
        self._backends = backends

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        connections = GaugeMetricFamily(
            "troupe_gateway_connections", "Connections of clients that are open.", labels=["http"]
        )
        for version, count in self._server.connections().items():
            connections.add_metric([version], count)
        yield connections
        refused = CounterMetricFamily(
            "troupe_gateway_refused", "What was refused before it became a call.", labels=["reason"]
        )
        for reason, count in self._server.refusals().items():
            refused.add_metric([reason], count)
        yield refused
        upstream = GaugeMetricFamily(
            "troupe_gateway_backend_connections", "Connections to a backend.", labels=["backend"]
        )
        healthy = GaugeMetricFamily(
            "troupe_gateway_backend_healthy",
            "1 for a backend that is connected and does not say that it cannot serve.",
            labels=["backend"],
        )
        for backend, count in self._backends.connections.items():
            upstream.add_metric([backend], count)
            healthy.add_metric([backend], self._backends.healthy[backend])
        yield upstream
        yield healthy


@contextmanager
def measuring(server: Source, backends: Backends) -> Iterator[None]:
    """Looks at them whenever the metrics are read, inside the block."""
    collector = _Collector(server, backends)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)
