"""How to tell that a process does its work."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar
from urllib.parse import urlsplit

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from troupe.local.program import Probe

_Reply = TypeVar("_Reply")
_TIMEOUT_SECONDS: Final = 2.0
# The methods answer without credentials and need no schema: an empty request is an empty message.
_MILVUS_VERSION: Final = "/milvus.proto.milvus.MilvusService/GetVersion"
_TRITON_READY: Final = "/inference.GRPCInferenceService/ServerReady"
_TRUE_IN_FIELD_1: Final = b"\x08\x01"


def grpc_health(address: str) -> Probe:
    """Asks `grpc.health.v1` for the overall status."""

    async def probe() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            request = health_pb2.HealthCheckRequest()
            reply = await _answer(health_pb2_grpc.HealthStub(channel).Check(request, timeout=_TIMEOUT_SECONDS))
        if reply.status != health_pb2.HealthCheckResponse.SERVING:
            raise ConnectionError("answers, but reports NOT_SERVING")

    return probe


def milvus(address: str) -> Probe:
    """Asks Milvus for its version."""

    async def probe() -> None:
        await _call(address, _MILVUS_VERSION)

    return probe


def triton(address: str) -> Probe:
    """Asks Triton whether all its models are ready."""

    async def probe() -> None:
        if await _call(address, _TRITON_READY) != _TRUE_IN_FIELD_1:
            raise ConnectionError("answers, but its models are not ready")

    return probe


def redis(url: str) -> Probe:
    """Sends PING; one that asks for a password counts as there."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 6379

    async def probe() -> None:
        reply = await _exchange(host, port, b"PING\r\n")
        if not reply.startswith((b"+PONG", b"-NOAUTH")):
            raise ConnectionError(f"answers {reply.decode(errors='replace').strip()!r}")

    return probe


def tcp(host: str, port: int) -> Probe:
    """Connects."""

    async def probe() -> None:
        await _exchange(host, port, b"")

    return probe


def http_ok(address: str, path: str) -> Probe:
    """Expects 200 from `GET path`."""
    host, _, port = address.rpartition(":")

    async def probe() -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        status = await _exchange(host, int(port), request.encode())
        if b" 200 " not in status:
            raise ConnectionError(f"answers {status.decode(errors='replace').strip()!r} to GET {path}")

    return probe


async def _call(address: str, method: str) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return await _answer(ask(b"", timeout=_TIMEOUT_SECONDS))


async def _answer(call: Awaitable[_Reply]) -> _Reply:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise ConnectionError(error.details() or error.code().name) from None


async def _exchange(host: str, port: int, request: bytes) -> bytes:
    """Sends a request and returns the first line of the reply; an empty request only connects."""
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request)
            return await reader.readline() if request else b""
        finally:
            writer.close()
