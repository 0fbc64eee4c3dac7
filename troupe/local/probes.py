"""How to tell that a process does its work."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from troupe.core.addresses import HostPort

Probe = Callable[[], Awaitable[None]]
"""Returns when the process does its work; raises, with a message for people, when it does not."""

_Reply = TypeVar("_Reply")
_SOCKET: Final = "unix:"
_TIMEOUT_SECONDS: Final = 2.0
# The methods answer without credentials and need no schema: an empty request is an empty message.
_MILVUS_VERSION: Final = "/milvus.proto.milvus.MilvusService/GetVersion"
_TRITON_READY: Final = "/inference.GRPCInferenceService/ServerReady"
_TRUE_IN_FIELD_1: Final = b"\x08\x01"
_DESCRIBE: Final = "/troupe.api.agent.v1.AgentService/Describe"


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


def agents(address: str) -> Probe:
    """Asks a server of `AgentService` what it offers; whatever it offers will do."""

    async def probe() -> None:
        await _call(address, _DESCRIBE)

    return probe


def redis(address: str) -> Probe:
    """Sends PING to `host:port` or `unix:PATH`; one that asks for a password counts as there."""

    async def probe() -> None:
        reply = await _exchange(address, b"PING\r\n")
        if not reply.startswith((b"+PONG", b"-NOAUTH")):
            raise ConnectionError(f"answers {reply.decode(errors='replace').strip()!r}")

    return probe


def tcp(address: str) -> Probe:
    """Connects."""

    async def probe() -> None:
        await _exchange(address, b"")

    return probe


def http_healthy(address: str) -> Probe:
    """Expects 200 from `GET /healthz`."""
    return _healthy(address, None)


def https_healthy(address: str) -> Probe:
    """The same with TLS. Whose certificate it is does not matter: nothing is told or believed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _healthy(address, context)


def _healthy(address: str, context: ssl.SSLContext | None) -> Probe:
    async def probe() -> None:
        request = f"GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        status = await _exchange(address, request.encode(), context)
        if b" 200 " not in status:
            raise ConnectionError(f"answers {status.decode(errors='replace').strip()!r} to GET /healthz")

    return probe


KINDS: Final[Mapping[str, Callable[[str], Probe]]] = {
    "agents": agents,
    "grpc": grpc_health,
    "http": http_healthy,
    "https": https_healthy,
    "milvus": milvus,
    "redis": redis,
    "tcp": tcp,
    "triton": triton,
}


async def _call(address: str, method: str) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return await _answer(ask(b"", timeout=_TIMEOUT_SECONDS))


async def _answer(call: Awaitable[_Reply]) -> _Reply:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise ConnectionError(error.details() or error.code().name) from None


async def _exchange(address: str, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Sends a request and returns the first line of the reply; an empty request only connects."""
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        if address.startswith(_SOCKET):
            reader, writer = await asyncio.open_unix_connection(address.removeprefix(_SOCKET))
        else:
            where = HostPort.parse(address)
            reader, writer = await asyncio.open_connection(where.bare_host, where.port, ssl=context)
        try:
            writer.write(request)
            return await reader.readline() if request else b""
        finally:
            writer.close()
