"""Sends spans to a collector. A collector that is away costs spans, never time."""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from troupe.core.masking import HIDDEN
from troupe.core.telemetry import spans
from troupe.core.telemetry.metrics import VERSION
from troupe.core.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

_LINE_SECONDS: Final = 60.0
# These complain for every batch, and while the queue is full for every span.
_TALKERS: Final = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal")
# Repeats the headers for the collector that it cannot read.
_HEADER_READER: Final = "opentelemetry.util.re"


@asynccontextmanager
async def configure_tracing(service: str, settings: TelemetrySettings) -> AsyncIterator[None]:
    """Traces inside the block when an endpoint is set, and sends what is left when it is left.

    The last is bounded by `settings.flush_timeout_seconds`; so an absent collector holds no exit up longer.
    """
    if not settings.otlp_endpoint:
        yield
        return
    exporter, processor = _start(service, settings)
    try:
        yield
    finally:
        spans.use(None)
        await _finish(exporter, processor, settings.flush_timeout_seconds)


def _start(service: str, settings: TelemetrySettings) -> "tuple[OTLPSpanExporter, BatchSpanProcessor]":
    # Only here: processes that do not trace load none of it.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415

    resource = Resource.create(
        {
            "service.name": settings.service_prefix + service,
            "service.version": VERSION,
            "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        }
    )
    logging.getLogger(_HEADER_READER).addFilter(_without_values)
    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=settings.export_timeout_seconds)
    processor = BatchSpanProcessor(exporter)
    sampler = ParentBasedTraceIdRatio(settings.sample_ratio)
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # for libraries that trace themselves
        trace.set_tracer_provider(provider)
    for name in _TALKERS:
        logging.getLogger(name).addFilter(_SELDOM)
    spans.use(provider.get_tracer("troupe", VERSION))
    return exporter, processor


async def _finish(exporter: "OTLPSpanExporter", processor: "BatchSpanProcessor", timeout_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def flush() -> None:
        processor.shutdown()  # type: ignore[no-untyped-call] # of opentelemetry
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    # Not the loop's executor: its threads are waited for at exit, however long they take.
    threading.Thread(target=flush, name="trace-flush", daemon=True).start()
    try:
        async with asyncio.timeout(timeout_seconds):
            await done.wait()
    except TimeoutError:
        exporter.shutdown()  # breaks the export off


def _without_values(record: logging.LogRecord) -> bool:
    """A header that is wrong is a secret that is wrong by little."""
    record.args = (HIDDEN,)
    return True


class _Seldom(logging.Filter):
    """Lets one line a minute pass."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _LINE_SECONDS
        return True


_SELDOM: Final = _Seldom()
