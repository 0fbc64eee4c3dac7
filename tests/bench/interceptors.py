"""What the interceptors of a server cost: CPU microseconds a call and a streamed message, without gRPC.

    python -m tests.bench.interceptors [--tracing]

`--tracing` records every call and throws the spans away.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from opentelemetry.sdk.trace import TracerProvider

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.core.interceptors import server_interceptors
from troupe.core.telemetry import spans

CALLS, MESSAGES, ROUNDS = 2_000, 200, 7
GET_TASK = pb.GetTaskRequest(task_id="task-1").SerializeToString()
TRACEPARENT = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Context:
    """As much of a call as interceptors look at."""

    def __init__(self, *metadata: tuple[str, str]) -> None:
        self.metadata = (("user-agent", "bench"), *metadata)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata

    async def read(self) -> bytes:
        return GET_TASK

    def set_trailing_metadata(self, metadata: object) -> None:
        pass

    def code(self) -> int:
        return 0

    def time_remaining(self) -> None:
        return None


async def get_task(request: pb.GetTaskRequest, _context: Any) -> pb.GetTaskResponse:
    return pb.GetTaskResponse()


async def watch_task(request: pb.WatchTaskRequest, _context: Any) -> AsyncIterator[pb.WatchTaskResponse]:
    for _ in range(MESSAGES):
        yield pb.WatchTaskResponse()


async def unary(method: str, handler: Any, *metadata: tuple[str, str]) -> float:
    async def call() -> None:
        found = await intercepted(method, handler)
        await found.stream_unary(None, Context(*metadata))

    return await cost_us(call, CALLS)


async def stream(method: str, handler: Any) -> float:
    async def call() -> None:
        found = await intercepted(method, handler)
        async for _ in found.stream_stream(None, Context()):
            pass

    return await cost_us(call, CALLS // 20) / MESSAGES


async def requests_stream(method: str, handler: Any) -> float:
    """A client's stream, as that of `RunTasks`."""

    async def call() -> None:
        found = await intercepted(method, handler)

        async def requests() -> AsyncIterator[Any]:
            for _ in range(MESSAGES):
                yield found.request_deserializer(GET_TASK)

        await found.stream_unary(requests(), Context())

    return await cost_us(call, CALLS // 20) / MESSAGES


async def count_requests(requests: AsyncIterator[pb.GetTaskRequest], _context: Any) -> pb.GetTaskResponse:
    async for _ in requests:
        pass
    return pb.GetTaskResponse()


async def cost_us(call: Callable[[], Awaitable[None]], times: int) -> float:
    """The best of some rounds, each call in a task of its own as with gRPC."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(times):
            await asyncio.create_task(call())  # type: ignore[arg-type]
        best = min(best, time.process_time() - started)
    return best / times * 1e6


CHAIN = server_interceptors(max_message_bytes=4 << 20)


async def intercepted(method: str, handler: Any) -> Any:
    """The handler as the server would call it."""
    details = type("Details", (), {"method": method, "invocation_metadata": ()})()

    async def find(_details: object) -> Any:
        return handler

    continuation: Any = find
    for interceptor in reversed(CHAIN):
        outer, inner = interceptor, continuation

        async def continuation(d: Any, outer: Any = outer, inner: Any = inner) -> Any:
            return await outer.intercept_service(inner, d)

    return await continuation(details)


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # the log line has its own cost
    service = "/troupe.api.orchestrator.v1.OrchestratorService/"
    decode: Any = pb.GetTaskRequest.FromString
    plain: Any = grpc.unary_unary_rpc_method_handler(get_task, decode)
    streamed: Any = grpc.unary_stream_rpc_method_handler(watch_task, decode)
    taken: Any = grpc.stream_unary_rpc_method_handler(count_requests, decode)
    print(f"unary            {await unary(service + 'GetTask', plain):6.2f} µs a call")
    print(f"unary, in a trace{await unary(service + 'GetTask', plain, TRACEPARENT):6.2f} µs a call")
    print(f"stream           {await stream(service + 'WatchTask', streamed):6.3f} µs a message")
    print(f"client's stream  {await requests_stream(service + 'RunTasks', taken):6.3f} µs a message")


def trace() -> None:
    """Records every call."""
    spans.use(TracerProvider().get_tracer("bench"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tracing", action="store_true")
    if parser.parse_args().tracing:
        trace()
    asyncio.run(main())
