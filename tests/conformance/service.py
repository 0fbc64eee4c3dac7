"""The service that the suite calls, on grpcio: it answers what each request asks it to answer."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc
import grpc.aio
from google.rpc import status_pb2

from tests.conformance.contract import SERVICE, Contract

Context = grpc.aio.ServicerContext[Any, Any]
Metadata = tuple[tuple[str, str | bytes], ...]

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ConformanceService:
    """All methods but `Unimplemented`. They yield payloads, since that is all that the responses hold."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server registers.

        Every method is a stream in both directions here, since grpcio does not look how many messages a call of
        another kind brings.
        """
        behaviours = {
            "Unary": self.unary,
            "IdempotentUnary": self.unary,
            "ServerStream": self.server_stream,
            "ClientStream": self.client_stream,
            "BidiStream": self.bidi_stream,
        }
        handlers = {name: self._method(name, behaviour) for name, behaviour in behaviours.items()}
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _method(self, name: str, behaviour: Callable[..., AsyncIterator[Any]]) -> "grpc.RpcMethodHandler[Any, Any]":
        method = self._contract.service.methods_by_name[name]
        request_type = self._contract.message(method.input_type.name)
        response_type = self._contract.message(method.output_type.name)

        def wrapped(payload: Any) -> bytes:
            body: bytes = response_type(payload=payload).SerializeToString()
            return body

        return grpc.stream_stream_rpc_method_handler(
            behaviour, request_deserializer=request_type.FromString, response_serializer=wrapped
        )

    async def unary(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        """One answer to one request."""
        request = await _only(requests, context)
        yield await self._answer_once([request], context)

    async def client_stream(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        """One answer to all requests; the first says which."""
        yield await self._answer_once([request async for request in requests], context)

    async def server_stream(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        """Many answers to one request."""
        request = await _only(requests, context)
        answers = _Answers(self._contract, request.response_definition, context)
        received = [request]
        await answers.begin()
        while answers.left:
            yield await answers.next(received)
            received = []
        await answers.end(received)

    async def bidi_stream(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        """Many answers to many requests; the first says which, and whether they come in turns."""
        received: list[Any] = []
        answers: _Answers | None = None
        in_turns = False
        async for request in requests:
            received.append(request)
            if answers is None:
                answers = _Answers(self._contract, request.response_definition, context)
                in_turns = request.full_duplex
                if in_turns:
                    await answers.begin()
            if in_turns:
                if not answers.left:
                    break
                yield await answers.next(received)
                received = []
        if answers is None:
            return
        if not in_turns:
            await answers.begin()
        while answers.left:
            yield await answers.next(received)
            received = []
        await answers.end(received)

    async def _answer_once(self, received: Sequence[Any], context: Context) -> Any:
        definition = (
            received[0].response_definition if received else self._contract.message("UnaryResponseDefinition")()
        )
        info = _request_info(self._contract, received, context)
        context.set_trailing_metadata(_metadata(definition.response_trailers))
        await asyncio.sleep(definition.response_delay_ms / 1000)
        if definition.response_headers:
            await context.send_initial_metadata(_metadata(definition.response_headers))
        if definition.HasField("error"):
            await _fail(context, definition, info)
        return self._contract.message("ConformancePayload")(data=definition.response_data, request_info=info)


class _Answers:
    """The answers of a stream, one after the other."""

    def __init__(self, contract: Contract, definition: Any, context: Context) -> None:
        self._contract = contract
        self._definition = definition
        self._context = context
        self._sent = 0

    @property
    def left(self) -> int:
        """How many are still to come."""
        return len(self._definition.response_data) - self._sent

    async def begin(self) -> None:
        """Sends the headers at once, so that the client need not wait for the first answer.

        Where there is neither an answer nor a header the call ends with its trailers alone.
        """
        self._context.set_trailing_metadata(_metadata(self._definition.response_trailers))
        if self._definition.response_data or self._definition.response_headers:
            await self._context.send_initial_metadata(_metadata(self._definition.response_headers))

    async def next(self, received: Sequence[Any]) -> Any:
        """The next answer; it tells what has been received since the last, the first also how the call came."""
        payload = self._contract.message("ConformancePayload")(data=self._definition.response_data[self._sent])
        if self._sent == 0:
            payload.request_info.CopyFrom(_request_info(self._contract, received, self._context))
        else:
            _add_requests(payload.request_info, received)
        self._sent += 1
        await asyncio.sleep(self._definition.response_delay_ms / 1000)
        return payload

    async def end(self, received: Sequence[Any]) -> None:
        """Fails the call when the client asked for that."""
        if self._definition.HasField("error"):
            info = None if self._sent else _request_info(self._contract, received, self._context)
            await _fail(self._context, self._definition, info)


async def _only(requests: AsyncIterator[Any], context: Context) -> Any:
    """The one request of a call that has one; gRPC's status for any other number is UNIMPLEMENTED."""
    received = [request async for request in requests]
    if len(received) != 1:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"this method takes one message, not {len(received)}")
    return received[0]


async def _fail(context: Context, definition: Any, info: Any) -> None:
    error = definition.error
    status = status_pb2.Status(code=error.code, message=error.message)
    for detail in error.details:
        status.details.add(type_url=detail.type_url, value=detail.value)
    if info is not None:
        status.details.add().Pack(info)
    trailers = _metadata(definition.response_trailers)
    if status.details:
        trailers += (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(_CODES[error.code], error.message, trailers)


def _request_info(contract: Contract, received: Iterable[Any], context: Context) -> Any:
    info = contract.message("ConformancePayload.RequestInfo")()
    values: dict[str, list[str]] = {}
    for name, value in context.invocation_metadata() or ():
        text = base64.b64encode(value).decode().rstrip("=") if isinstance(value, bytes) else value
        values.setdefault(str(name), []).append(text)
    for header, texts in values.items():
        info.request_headers.add(name=header, value=texts)
    remaining_seconds = context.time_remaining()
    if remaining_seconds is not None:
        info.timeout_ms = int(remaining_seconds * 1000)
    _add_requests(info, received)
    return info


def _add_requests(info: Any, received: Iterable[Any]) -> None:
    for request in received:
        info.requests.add().Pack(request)


def _metadata(headers: Iterable[Any]) -> Metadata:
    """The suite writes binary values in base64; grpcio wants them as they are."""
    return tuple(
        (header.name.lower(), _decoded(value) if header.name.lower().endswith("-bin") else value)
        for header in headers
        for value in header.value
    )


def _decoded(value: str) -> bytes:
    return base64.b64decode(value + "=" * (-len(value) % 4))
