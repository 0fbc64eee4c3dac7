"""The gateway's metrics."""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

from prometheus_client import REGISTRY, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from troupe.core.telemetry.metrics import OTHER
from troupe.gateway.wire import status

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3600)


class _Durations:
    """A histogram."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.seconds = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Bounds, and how many stayed within each."""
        bounds = [*map(floatToGoString, _SECONDS), "+Inf"]
        return list(zip(bounds, itertools.accumulate(self.counts), strict=True))


class CallMetrics:
    """What is counted of calls, in plain numbers: metric objects would cost a call a tenth of all its work."""

    def __init__(self, is_known: Callable[[bytes], bool]) -> None:
        self.open = 0
        self._is_known = is_known
        self._ended: dict[tuple[bytes, str, str], int] = {}
        self._durations: dict[bytes, _Durations] = {}
        self._request_bytes = 0
        self._response_bytes = 0

    def ended(
        self, path: bytes, protocol: str, code: bytes, *, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Counts a call; methods that are not known by a descriptor share the label `other`."""
        if not self._is_known(path):
            path = b""
        key = (path, protocol, status.name_of(code))
        self._ended[key] = self._ended.get(key, 0) + 1
        durations = self._durations.get(path)
        if durations is None:
            durations = self._durations[path] = _Durations()
        durations.counts[bisect_left(_SECONDS, seconds)] += 1
        durations.seconds += seconds
        self._request_bytes += request_bytes
        self._response_bytes += response_bytes

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "troupe_gateway_calls", "Calls that have ended.", labels=["method", "protocol", "status"]
        )
        for (path, protocol, name), count in self._ended.items():
            calls.add_metric([_label(path), protocol, name], count)
        yield calls
        seconds = HistogramMetricFamily(
            "troupe_gateway_call_seconds", "From the head of a request to its end.", labels=["method"]
        )
        for path, durations in self._durations.items():
            seconds.add_metric([_label(path)], durations.buckets(), durations.seconds)
        yield seconds
        yield GaugeMetricFamily("troupe_gateway_open_calls", "Calls that have not ended.", self.open)
        yield CounterMetricFamily(
            "troupe_gateway_request_bytes", "Bytes of messages that backends were sent.", self._request_bytes
        )
        yield CounterMetricFamily(
            "troupe_gateway_response_bytes", "Bytes of messages that backends have sent.", self._response_bytes
        )


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
    def __init__(self, calls: CallMetrics, server: Source, backends: Backends) -> None:
        self._calls = calls
        self._server = server
        self._backends = backends

    def collect(self) -> Iterator[Metric]:
        yield from self._calls.collect()
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
def measuring(calls: CallMetrics, server: Source, backends: Backends) -> Iterator[None]:
    """Looks at them whenever the metrics are read, inside the block."""
    collector = _Collector(calls, server, backends)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)
