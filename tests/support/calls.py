"""A small service with methods of all shapes, to look at what a server does around them.

    python -m tests.support.calls HOST:PORT

serves it in a process of its own.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.health import Check
from troupe.core.logs import get_logger
from troupe.core.server import Drain, ServerSettings, run, serving
from troupe.core.telemetry.propagation import current_traceparent

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class Calls:
    """Messages are bytes. `Unary` does what the request says; the others send three messages or count them."""

    service: str
    onward: Any = None  # a channel, of untyped bytes
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def unary(self, request: bytes, context: Context) -> bytes:
        match request:
            case b"missing":
                raise TroupeError(ErrorReason.ERROR_REASON_TASK_NOT_FOUND, "no task `secret-of-the-request`")
            case b"broken":
                raise ZeroDivisionError
            case b"aborts":
                await context.abort(grpc.StatusCode.ALREADY_EXISTS, "again")
            case b"slow":
                await self._never()
            case b"traceparent":
                return current_traceparent().encode()
            case b"log":
                get_logger().warning("asked to log")
            case b"onward":
                answer: bytes = await self.onward.unary_unary(self.path("Unary"))(b"traceparent")
                return answer
            case b"onward stream":
                async for _ in self.onward.unary_stream(self.path("Stream"))(b""):
                    pass
        return request

    async def stream(self, request: bytes, _context: Context) -> AsyncIterator[bytes]:
        """Three messages, or `endless` ones, or three and then nothing when it is `slow`."""
        sent, ended = 0, False
        try:
            while request == b"endless" or sent < 3:
                yield request
                sent += 1
            if request == b"slow":
                await asyncio.Event().wait()
            ended = True
        finally:  # a call that is cancelled while it sends only closes the generator
            if not ended:
                self.cancelled.set()

    async def written(self, request: bytes, context: Context) -> None:
        for _ in range(3):
            await context.write(request)

    async def collect(self, requests: AsyncIterator[bytes], _context: Context) -> bytes:
        return str(len([request async for request in requests])).encode()

    async def chat(self, requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    def path(self, method: str) -> str:
        return f"/{self.service}/{method}"

    async def _never(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def register(self, server: grpc.aio.Server) -> None:
        handlers: dict[str, Any] = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
            "Written": grpc.unary_stream_rpc_method_handler(self.written),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(self.service, handlers),))


@asynccontextmanager
async def serving_calls(
    calls: Calls,
    *,
    admin: str | None = None,
    dependencies: dict[str, Check] | None = None,
    drain: Drain | None = None,
    grace_seconds: float = 0.2,
) -> AsyncIterator[str]:
    """Serves inside the block, as every process does; yields the address."""
    settings = ServerSettings(listen="127.0.0.1:0", admin=admin, grace_seconds=grace_seconds)
    services = {calls.service: calls.register}
    async with serving(settings, drain=drain or Drain(), services=services, dependencies=dependencies or {}) as address:
        yield address


async def main(drain: Drain) -> None:
    """Serves until it is told to stop."""
    calls = Calls("troupe.test.v1.Process")
    settings = ServerSettings(listen=sys.argv[1], grace_seconds=0.2)
    async with serving(settings, drain=drain, services={calls.service: calls.register}, dependencies={}):
        await drain.wait()


if __name__ == "__main__":
    run("calls", main)
