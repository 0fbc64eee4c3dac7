"""One way to run code around a handler, whatever the shape of its method."""

import inspect
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

Context = grpc.aio.ServicerContext[Any, Any]


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """Runs `around` around unary-unary and unary-stream handlers; others pass through."""

    @abstractmethod
    def around(self, method: str, request: Message, context: Context) -> AbstractAsyncContextManager[None]:
        """Entered before the handler starts, left when it has ended, with its exception if it raised."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler of one method."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        method = handler_call_details.method
        codec: dict[str, Any] = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream), **codec)
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), **codec)

    def _unary(self, method: str, handle: Any) -> Any:
        async def unary(request: Message, context: Context) -> Any:
            async with self.around(method, request, context):
                return await handle(request, context)

        return unary

    def _stream(self, method: str, handle: Any) -> Any:
        async def stream(request: Message, context: Context) -> AsyncIterator[Any]:
            async with self.around(method, request, context):
                responses = handle(request, context)
                if inspect.iscoroutine(responses):  # a handler that writes to the context, as that of health does
                    await responses
                    return
                async with aclosing(responses):
                    async for response in responses:
                        yield response

        return stream
