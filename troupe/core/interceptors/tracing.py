"""Opens a span for every call, as a child of the caller's."""

from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from troupe.core.interceptors.around import Context, Interceptor, Method, ids_of
from troupe.core.interceptors.outcome import outcome
from troupe.core.telemetry.propagation import Carried, carried_by, enter, extracted
from troupe.core.telemetry.spans import ATTRIBUTE_PREFIX, ERROR_TYPE, tracer

_NOTHING: Final[AbstractAsyncContextManager[Any, bool | None]] = nullcontext()
# The codes that are the server's fault: OpenTelemetry's conventions for gRPC.
_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class TracingInterceptor(Interceptor):
    """Without a collector it only hands the caller's trace on to the calls that the handler makes."""

    def around(
        self, method: Method, request: Message | None, context: Context
    ) -> AbstractAsyncContextManager[Any, bool | None]:
        """Makes the span, or the caller's, the current one."""
        if method.quiet:
            return _NOTHING
        carried = carried_by(context.invocation_metadata())
        if tracer() is not None:
            return _ServerSpan(method, request, context, carried)
        return _Passed(carried) if carried else _NOTHING


class _Passed:
    """The caller's span is current inside."""

    __slots__ = ("_carried",)

    def __init__(self, carried: Carried) -> None:
        self._carried = carried

    async def __aenter__(self) -> None:
        enter(extracted(self._carried))

    async def __aexit__(self, *_error: object) -> None:
        pass


class _ServerSpan:
    """A span of this call is current inside.

    It is never detached: a call runs in an asyncio task of its own, and the generator of a stream that is given up
    is closed in another, where detaching is an error.
    """

    __slots__ = ("_carried", "_context", "_method", "_request", "_span")

    def __init__(self, method: Method, request: Message | None, context: Context, carried: Carried) -> None:
        self._method = method
        self._request = request
        self._context = context
        self._carried = carried
        self._span: Span | None = None

    async def __aenter__(self) -> None:
        opened = tracer()
        if opened is None:  # the process stopped tracing a moment ago
            return
        parent = extracted(self._carried)
        name = self._method.path.removeprefix("/")
        service, _, method = name.rpartition("/")
        attributes: dict[str, str | int] = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        for key, value in ids_of(self._request).items():
            attributes[ATTRIBUTE_PREFIX + key] = value
        self._span = opened.start_span(name, parent, kind=SpanKind.SERVER, attributes=attributes)
        enter(parent, self._span)

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        span = self._span
        if span is None:
            return
        code = outcome(self._context, error)
        span.set_attribute("rpc.grpc.status_code", code.value[0])
        if code in _FAULTS:
            span.set_status(Status(StatusCode.ERROR, code.name))
        if isinstance(error, BaseException) and code is not grpc.StatusCode.OK and not _has_reason(span):
            span.set_attribute(ERROR_TYPE, code.name)
        span.end()


def _has_reason(span: Span) -> bool:
    return ERROR_TYPE in (getattr(span, "attributes", None) or ())
