"""What happens around every handler of every server, outermost first: metrics, trace, context, errors, validation."""

from collections.abc import Sequence

import grpc.aio

from troupe.core.interceptors.around import AroundInterceptor
from troupe.core.interceptors.context import ContextInterceptor
from troupe.core.interceptors.errors import ErrorsInterceptor
from troupe.core.interceptors.metrics import MetricsInterceptor
from troupe.core.interceptors.tracing import TracingInterceptor
from troupe.core.interceptors.validation import Precheck, ValidationInterceptor, no_precheck


def server_interceptors(
    *, max_message_bytes: int, precheck: Precheck = no_precheck
) -> Sequence[grpc.aio.ServerInterceptor]:
    """The interceptors of a server."""
    interceptors = [
        MetricsInterceptor(),
        TracingInterceptor(),
        ContextInterceptor(),
        ErrorsInterceptor(),
        ValidationInterceptor(max_message_bytes=max_message_bytes, precheck=precheck),
    ]
    return [AroundInterceptor(interceptors)]
