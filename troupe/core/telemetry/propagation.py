"""The W3C trace context, as it travels: in gRPC metadata and, as one string, in Redis."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import grpc.aio
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
# As long as the recommendation asks to carry; what is longer is not worth a warning of the propagator for each call.
_MAX_LENGTH: Final = 512
_PROPAGATOR: Final = TraceContextTextMapPropagator()

Carried = dict[str, str]
"""A trace context under the W3C recommendation's keys."""


def carried_by(metadata: Iterable[tuple[str, str | bytes]] | None) -> Carried:
    """The trace context in the metadata of a call; empty when it has none."""
    carried = {
        key: value
        for key, value in metadata or ()
        if key in (TRACEPARENT, TRACESTATE) and isinstance(value, str) and len(value) <= _MAX_LENGTH
    }
    return carried if TRACEPARENT in carried else {}


def extracted(carried: Carried) -> Context:
    """The context that was sent; the empty one when there was none or it cannot be read."""
    return _PROPAGATOR.extract(carried, Context()) if carried else Context()


def injected(context: Context) -> Carried:
    """What to send along of a context."""
    carried: Carried = {}
    _PROPAGATOR.inject(carried, context)
    return carried


def enter(parent: Context, span: Span | None = None) -> object:
    """Makes a context, and a span in it, current in this asyncio task; returns what `leave` needs."""
    return otel.attach(parent if span is None else trace.set_span_in_context(span, parent))


def leave(token: Any) -> None:
    """Makes current what was before."""
    otel.detach(token)


def current_traceparent() -> str:
    """The current span as a `traceparent`, to be kept with work that goes on elsewhere; empty without one."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return ""
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}"


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Metadata for a call that belongs to the current span; empty without one."""
    traceparent = current_traceparent()
    if not traceparent:
        return ()
    state = trace.get_current_span().get_span_context().trace_state
    pair = (TRACEPARENT, traceparent)
    return (pair, (TRACESTATE, state.to_header())) if state else (pair,)


def tracing_calls(call: Callable[..., Any]) -> Callable[..., Any]:
    """A multi-callable whose calls carry the current trace context.

    gRPC's own client interceptors would do it too, at the cost of a task and an intermediate call object a call.
    """

    def calling(*args: Any, metadata: Any = None, **kwargs: Any) -> Any:
        carried = trace_metadata()
        if carried and not any(key == TRACEPARENT for key, _ in metadata or ()):
            metadata = grpc.aio.Metadata(*(metadata or ()), *carried)
        return call(*args, metadata=metadata, **kwargs)

    return calling
