"""Counts and times every call."""

import time
from types import TracebackType
from typing import Final

import grpc
from google.protobuf.message import Message
from prometheus_client import Counter, Gauge, Histogram

from troupe.core.interceptors.around import Context, Interceptor, Method
from troupe.core.interceptors.outcome import outcome
from troupe.core.telemetry.metrics import Labels

# From a cached answer to a long generation; streams that are watched for hours fall behind the last.
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_HANDLED: Final = Counter("troupe_grpc_server_handled", "Calls that have ended.", ["method", "code"])
_HANDLING: Final = Histogram(
    "troupe_grpc_server_handling_seconds", "From the start of a call to its end.", ["method"], buckets=_SECONDS
)
_OPEN: Final = Gauge("troupe_grpc_server_streams_open", "Streams that are open.", ["method"])
# Only methods that are served get here, but a handler may serve any name.
_METHODS: Final = Labels(limit=256)


class MetricsInterceptor(Interceptor):
    """The outermost interceptor. Labels are looked up once a method."""

    def __init__(self) -> None:
        self._series: dict[Method, _Series] = {}

    def around(self, method: Method, request: Message | None, context: Context) -> "_Call":
        """Times what runs inside, and counts how it ended."""
        series = self._series.get(method)
        if series is None:
            series = self._series[method] = _Series(method)
        return _Call(series, context)


class _Series:
    """The time series of one method."""

    __slots__ = ("_label", "codes", "handling", "open")

    def __init__(self, method: Method) -> None:
        self._label = _METHODS.bound(method.path.removeprefix("/"))
        self.handling = _HANDLING.labels(self._label)
        self.open = _OPEN.labels(self._label) if method.streaming else None
        self.codes: dict[grpc.StatusCode, Counter] = {}
        self.handled(grpc.StatusCode.OK)

    def handled(self, code: grpc.StatusCode) -> Counter:
        """The counter of calls that ended with `code`."""
        counter = self.codes.get(code)
        if counter is None:
            counter = self.codes[code] = _HANDLED.labels(self._label, code.name)
        return counter


class _Call:
    """One call; a class, because a generator would cost more than the counting."""

    __slots__ = ("_context", "_series", "_started")

    def __init__(self, series: _Series, context: Context) -> None:
        self._series = series
        self._context = context

    async def __aenter__(self) -> None:
        if self._series.open is not None:
            self._series.open.inc()
        self._started = time.perf_counter()

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        series = self._series
        series.handling.observe(time.perf_counter() - self._started)
        series.handled(outcome(self._context, error)).inc()
        if series.open is not None:
            series.open.dec()
