"""What is told of a call: a line of log, metrics, a span."""

import time
from typing import Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace import set_span_in_context as in_context

from troupe.core.logs import get_logger
from troupe.core.telemetry import spans
from troupe.core.telemetry.propagation import TRACEPARENT, TRACESTATE, carried_by, extracted, injected
from troupe.gateway.metrics import CallMetrics
from troupe.gateway.wire import status
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.request import RequestHead

_TRACE_HEADERS: Final = (TRACEPARENT.encode(), TRACESTATE.encode())
# What clients bring upon themselves is no error of this server.
_SERVER_ERRORS: Final = frozenset(
    b"%d" % code
    for code in (
        status.Code.UNKNOWN,
        status.Code.DEADLINE_EXCEEDED,
        status.Code.UNIMPLEMENTED,
        status.Code.INTERNAL,
        status.Code.UNAVAILABLE,
        status.Code.DATA_LOSS,
    )
)


class Observer:
    """Begins observations."""

    def __init__(self, metrics: CallMetrics, *, access_log: bool) -> None:
        self.metrics = metrics
        self.access_log = access_log

    def began(self, head: RequestHead, path: bytes, protocol: str, request_id: bytes) -> "Observation":
        """A call has begun."""
        return Observation(self, head, path, protocol, request_id)


class Observation:
    """What is seen of one call."""

    __slots__ = ("_began", "_observer", "_path", "_protocol", "_request_id", "_span", "headers")

    def __init__(self, observer: Observer, head: RequestHead, path: bytes, protocol: str, request_id: bytes) -> None:
        self._observer = observer
        self._path = path
        self._protocol = protocol
        self._request_id = request_id
        self._began = time.perf_counter()
        self._span: Span | None = None
        self.headers: Headers = ()
        """What the backend is sent of the call's trace; empty while this process does not trace."""
        tracer = spans.tracer()
        if tracer is not None:
            parent = extracted(
                carried_by([(name.decode(), head.get(name).decode("latin-1")) for name in _TRACE_HEADERS])
            )
            service, _, method = path.decode().lstrip("/").rpartition("/")
            self._span = tracer.start_span(
                f"{service}/{method}",
                parent,
                kind=SpanKind.SERVER,
                attributes={
                    "rpc.system": "grpc",
                    "rpc.service": service,
                    "rpc.method": method,
                    "troupe.protocol": protocol,
                    "troupe.request_id": request_id.decode(),
                },
            )
            self.headers = tuple(
                [(name.encode(), value.encode()) for name, value in injected(in_context(self._span)).items()]
            )
        observer.metrics.open += 1

    def ended(self, code: bytes, *, request_bytes: int, response_bytes: int) -> None:
        """The call has ended with a gRPC status."""
        seconds = time.perf_counter() - self._began
        metrics = self._observer.metrics
        metrics.open -= 1
        metrics.ended(
            self._path,
            self._protocol,
            code,
            seconds=seconds,
            request_bytes=request_bytes,
            response_bytes=response_bytes,
        )
        if self._span is not None:
            self._end_span(self._span, code)
        if self._observer.access_log:
            get_logger().info(
                "call ended",
                method=self._path.decode(),
                protocol=self._protocol,
                request_id=self._request_id.decode(),
                status=status.name_of(code),
                elapsed_ms=round(seconds * 1000, 1),
                response_bytes=response_bytes,
            )

    def _end_span(self, span: Span, code: bytes) -> None:
        name = status.name_of(code)
        span.set_attribute("rpc.grpc.status_code", status.Code[name].value)
        if code in _SERVER_ERRORS:
            span.set_attribute(spans.ERROR_TYPE, name)
            span.set_status(Status(StatusCode.ERROR, name))
        span.end()
