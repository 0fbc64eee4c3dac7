"""A collector of traces: a server of OTLP's TraceService that keeps what it is sent."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps spans by their name, and what their process says about itself."""

    endpoint: str = ""
    spans: dict[str, list[Span]] = field(default_factory=dict)
    resource: Mapping[str, str | int] = field(default_factory=dict)

    async def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, _context: Any
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource_spans in request.resource_spans:
            self.resource = attributes_of(resource_spans.resource.attributes)
            for scope in resource_spans.scope_spans:
                for span in scope.spans:
                    self.spans.setdefault(span.name, []).append(span)
        return trace_service_pb2.ExportTraceServiceResponse()

    def one(self, name: str) -> Span:
        """The only span of that name."""
        (span,) = self.spans[name]
        return span


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Collects inside the block."""
    collector = Collector()
    server = grpc.aio.server()
    add = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(collector, server)  # type: ignore[no-untyped-call] # generated
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(0)


def attributes_of(pairs: Any) -> dict[str, str | int]:
    """Attributes with text or whole numbers as values."""
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> str | int:
    return pair.value.int_value if pair.value.HasField("int_value") else pair.value.string_value
