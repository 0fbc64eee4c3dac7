"""A gRPC link between a process and a real server that kills the process when it has passed on so many calls."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio

# What changes what Milvus keeps.
WRITES = frozenset({"Upsert", "Insert", "Delete", "Flush", "CreateCollection", "CreateIndex", "LoadCollection"})


class KillingProxy:
    """Forwards unary calls as bytes. After `kill_after` writes it kills the process `victim` instead of answering."""

    def __init__(self, target: str) -> None:
        self.address = ""
        self.victim = 0
        self.kill_after = 0
        self.writes = 0
        self._target = target

    def aim(self, victim: int, *, kill_after: int) -> None:
        """Counts anew; 0 never kills."""
        self.victim, self.kill_after, self.writes = victim, kill_after, 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["KillingProxy"]:
        """Listens on a free port of loopback inside the block."""
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        async with grpc.aio.insecure_channel(self._target, [("grpc.max_receive_message_length", -1)]) as channel:
            server.add_generic_rpc_handlers((_Handlers(self, channel),))
            self.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            await server.start()
            try:
                yield self
            finally:
                await server.stop(None)

    def passed(self, method: str) -> None:
        """A call was answered by the server."""
        if method not in WRITES:
            return
        self.writes += 1
        if self.writes == self.kill_after:
            os.kill(self.victim, signal.SIGKILL)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, proxy: KillingProxy, channel: grpc.aio.Channel) -> None:
        self._proxy = proxy
        self._channel = channel

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        path = handler_call_details.method
        call: Callable[..., Awaitable[bytes]] = self._channel.unary_unary(path)

        async def forward(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            metadata = [item for item in context.invocation_metadata() or () if not item[0].startswith("grpc-")]
            try:
                answer = await call(request, metadata=tuple(metadata))
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")
            self._proxy.passed(path.rpartition("/")[2])
            return answer

        return grpc.unary_unary_rpc_method_handler(forward)
