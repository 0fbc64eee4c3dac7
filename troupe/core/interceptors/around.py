"""One way to run code around a handler, whatever the shape of its method."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import Message

from troupe.core.interceptors.decoding import Take, UnreadableError, refusing, taking

Context = grpc.aio.ServicerContext[Any, Any]

# Handlers that are made anew for each call are not worth keeping, and must not pile up.
_MAX_KEPT: Final = 1024
_IDS: Final = ("task_id", "step_id", "agent", "attempt")
# Asked every few seconds, or by people who look around.
_QUIET: Final = ("/grpc.health.v1.", "/grpc.reflection.", "/troupe.api.agent.v1.AgentService/Describe")


@dataclass(frozen=True, slots=True)
class Method:
    """A method that is called: `path` is `/package.Service/Method`."""

    path: str
    streaming: bool
    """Whether the client or the server sends more than one message."""
    quiet: bool
    """Whether its calls say nothing about the work: neither logged nor traced."""

    @classmethod
    def of(cls, path: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> "Method":
        """The method that `handler` serves."""
        streaming = bool(handler.request_streaming or handler.response_streaming)
        return cls(path, streaming, path.startswith(_QUIET))


class Interceptor(ABC):
    """Code that runs around handlers."""

    @abstractmethod
    def around(
        self, method: Method, request: Message | None, context: Context
    ) -> AbstractAsyncContextManager[Any, bool | None]:
        """Entered before the handler starts, left when it has ended, with its exception if it raised.

        `request` is None where the client streams, and bytes where the method is forwarded.
        """


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """Runs interceptors, outermost first, around handlers of all four shapes.

    A stream gets one wrapper for all of them: a wrapper for each would cost every message.
    """

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = tuple(interceptors)
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler of one method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        path = handler_call_details.method
        known = self._wrapped.get(path)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = self._wrap(Method.of(path, handler), handler)
        if len(self._wrapped) < _MAX_KEPT:
            self._wrapped[path] = handler, wrapped
        return wrapped

    def _wrap(self, method: Method, handler: Any) -> Any:
        # For gRPC every method takes a stream of bytes: the one message of a call is read and decoded here. Left to
        # gRPC, what cannot be decoded ends in UNKNOWN before any of this runs, and a call without a message never ends.
        decode = handler.request_deserializer
        codec: dict[str, Any] = {
            "request_deserializer": decode and refusing(decode) if handler.request_streaming else None,
            "response_serializer": handler.response_serializer,
        }
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(method, handler.stream_stream), **codec)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._unary(method, handler.stream_unary), **codec)
        take = taking(decode)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(method, handler.unary_stream, take), **codec)
        return grpc.stream_unary_rpc_method_handler(self._unary(method, handler.unary_unary, take), **codec)

    def _unary(self, method: Method, handle: Any, take: Take | None = None) -> Any:
        outermost, *others = self._interceptors
        for interceptor in reversed(others):  # nested: an exit stack costs twice as much
            handle = _inside(interceptor, method, handle)
        if take is None:
            return _inside(outermost, method, handle)
        return _taking(outermost, method, handle, take, refuse=self._unary(method, _refuse))

    def _stream(self, method: Method, handle: Any, take: Take | None = None) -> Any:
        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            serve = handle
            if take is not None:
                try:
                    request = take(await context.read())
                except UnreadableError as error:
                    request, serve = error, _refuse
            async with AsyncExitStack() as stack:
                await self._enter(stack, method, request, context)
                responses = serve(request, context)
                if inspect.iscoroutine(responses):  # a handler that writes to the context, as that of health does
                    await responses
                    return
                async with aclosing(responses):
                    async for response in responses:
                        yield response

        return stream

    async def _enter(self, stack: AsyncExitStack, method: Method, request: Any, context: Context) -> None:
        for interceptor in self._interceptors:
            await stack.enter_async_context(interceptor.around(method, _single(request), context))


async def _refuse(request: UnreadableError, _context: Context) -> NoReturn:
    raise request.refusal


def _taking(interceptor: Interceptor, method: Method, handle: Any, take: Take, *, refuse: Any) -> Any:
    async def unary(_requests: object, context: Context) -> Any:
        try:
            request = take(await context.read())
        except UnreadableError as error:
            return await refuse(error, context)
        async with interceptor.around(method, request, context):
            return await handle(request, context)

    return unary


def _inside(interceptor: Interceptor, method: Method, handle: Any) -> Any:
    async def unary(request: Any, context: Context) -> Any:
        async with interceptor.around(method, _single(request), context):
            return await handle(request, context)

    return unary


def _single(request: Any) -> Any:
    return None if hasattr(request, "__aiter__") or isinstance(request, UnreadableError) else request


def ids_of(request: Message | None) -> Mapping[str, str | int]:
    """The ids of the work that a request is about; nothing else of a request leaves the process."""
    return {name: value for name in _IDS if (value := getattr(request, name, None))}
