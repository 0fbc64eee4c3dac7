"""Spans of this process's work. With tracing off they cost next to nothing."""

from types import TracebackType
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from troupe.core.telemetry.propagation import TRACEPARENT, enter, extracted, leave

ATTRIBUTE_PREFIX: Final = "troupe."
ERROR_TYPE: Final = "error.type"


class _Tracing:
    """What this process traces with, from `configure_tracing` on."""

    tracer: Tracer | None = None


def tracer() -> Tracer | None:
    """The tracer; None while tracing is not configured."""
    return _Tracing.tracer


def use(new: Tracer | None) -> None:
    """Traces with `new` from now on."""
    _Tracing.tracer = new


def note_reason(reason: str) -> None:
    """Says on the current span why its work failed. Never a message: messages quote requests."""
    if _Tracing.tracer is not None:
        trace.get_current_span().set_attribute(ERROR_TYPE, reason)


class _Nothing:
    """Tracing is off and nobody's trace is to be handed on."""

    __slots__ = ()

    def __enter__(self) -> Span:
        return trace.INVALID_SPAN

    def __exit__(self, *_error: object) -> None:
        pass


class RemoteSpan:
    """A span whose parent was stored with the work; entered and left in one asyncio task."""

    __slots__ = ("_attributes", "_name", "_span", "_token", "_traceparent")

    def __init__(self, name: str, traceparent: str, attributes: dict[str, str | int | float | bool]) -> None:
        self._name = name
        self._traceparent = traceparent
        self._attributes = attributes
        self._span: Span | None = None

    def __enter__(self) -> Span:
        parent = extracted({TRACEPARENT: self._traceparent} if self._traceparent else {})
        if _Tracing.tracer is None:  # the trace is only handed on
            self._token = enter(parent)
            return trace.INVALID_SPAN
        attributes = {ATTRIBUTE_PREFIX + key: value for key, value in self._attributes.items()}
        span = _Tracing.tracer.start_span(self._name, parent, kind=SpanKind.CONSUMER, attributes=attributes)
        self._span = span
        self._token = enter(parent, span)
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        leave(self._token)
        if self._span is None:
            return
        if kind is not None:
            reason = getattr(error, "reason_name", kind.__name__)
            self._span.set_attribute(ERROR_TYPE, reason)
            self._span.set_status(Status(StatusCode.ERROR, reason))
        self._span.end()


_NOTHING: Final = _Nothing()


def remote_span(name: str, traceparent: str, **attributes: str | int | float | bool) -> RemoteSpan | _Nothing:
    """A CONSUMER span, as a child of what `current_traceparent` said where the work was handed over.

    Attributes get the prefix `troupe.`. An error that leaves the block is recorded by its reason. An empty
    `traceparent` starts a trace.
    """
    if not traceparent and _Tracing.tracer is None:
        return _NOTHING
    return RemoteSpan(name, traceparent, attributes)
