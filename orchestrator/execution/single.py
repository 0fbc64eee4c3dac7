"""One gRPC call a step: every agent server can be called so."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, cast

import grpc.aio
from google.protobuf.message import DecodeError

from troupe.api.agent.v1.agent_service_pb2 import DESCRIPTOR, ExecuteRequest, ExecuteResponse
from troupe.orchestrator.execution.failures import explained, garbage

_METHOD: Final = f"/{DESCRIPTOR.services_by_name['AgentService'].full_name}/Execute"
_LAST: Final = ("output", "delegate")
# A server that is not seen to end its stream behind the result has given the result all the same.
_END_SECONDS: Final = 0.25


class SingleCalls:
    """Executes steps on the server of a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        # Responses are decoded here: gRPC would end the call by an error that does not say why.
        self._execute: grpc.aio.UnaryStreamMultiCallable[ExecuteRequest, bytes] = channel.unary_stream(
            _METHOD, request_serializer=ExecuteRequest.SerializeToString
        )

    async def execute(self, step: ExecuteRequest, *, timeout_seconds: float) -> AsyncGenerator[ExecuteResponse, None]:
        """Executes an attempt; closing the iterator cancels it.

        Raises:
            TroupeError: why it failed.
        """
        call = self._execute(step, timeout=timeout_seconds)
        try:
            while (encoded := await call.read()) is not grpc.aio.EOF:
                response = _decoded(cast("bytes", encoded))
                if response.WhichOneof("event") in _LAST:
                    await _check_end(call)
                    yield response
                    return
                yield response
        except grpc.aio.AioRpcError as error:
            raise explained(error) from None
        finally:
            call.cancel()


def _decoded(encoded: bytes) -> ExecuteResponse:
    try:
        return ExecuteResponse.FromString(encoded)
    except DecodeError:
        raise garbage("bytes that cannot be read") from None


async def _check_end(call: "grpc.aio.UnaryStreamCall[ExecuteRequest, bytes]") -> None:
    """Nothing may follow a result. How the call ends does not matter any more: the result is there."""
    try:
        async with asyncio.timeout(_END_SECONDS):
            more = await call.read()
    except (TimeoutError, grpc.aio.AioRpcError):
        return
    if more is not grpc.aio.EOF:
        raise garbage("more behind its result")
