"""Servers: how every process starts, serves, drains and stops."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio
import uvloop
from grpc_reflection.v1alpha import reflection
from pydantic import BaseModel, ConfigDict, Field

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.channels import MIN_PING_INTERVAL_MS
from troupe.core.errors import TroupeError
from troupe.core.health import Check, Health
from troupe.core.interceptors import server_interceptors
from troupe.core.interceptors.validation import Precheck, no_precheck
from troupe.core.logs import LogSettings, configure, get_logger
from troupe.core.settings import SettingsError
from troupe.core.telemetry.admin import admin_server
from troupe.core.telemetry.settings import TelemetrySettings
from troupe.core.telemetry.tracing import configure_tracing

# Up to this many times `max_message_bytes` a message is read and refused with a reason; above it gRPC itself
# cuts the call with RESOURCE_EXHAUSTED.
_REFUSABLE: Final = 4
# Streams and calls live long and are many: with Python's defaults (700, 10, 10) a burst of them sets off collections
# that walk all of them and find nothing, and every stream stands still meanwhile.
_COLLECTOR_THRESHOLDS: Final = (50_000, 5, 10)


class ServerSettings(BaseModel):
    """Where and how a process serves gRPC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field(description="`host:port`; port 0 takes a free one", pattern=r"^.+:\d+$")
    max_message_bytes: int = Field(default=4 << 20, gt=0)
    grace_seconds: float = Field(default=10, ge=0, description="how long open calls may go on after SIGTERM")
    reflection: bool = True
    admin: str | None = Field(
        default=None,
        pattern=r"^.+:\d+$",
        description="`host:port` of plain HTTP with `/metrics`, `/healthz` and `/readyz`; unset: none",
    )


class StartupError(Exception):
    """The process cannot start; the message says why and what to do."""


class Drain:
    """Whether the process is stopping. Long streams watch it and end with `draining_error`."""

    def __init__(self) -> None:
        self._started = asyncio.Event()

    @property
    def started(self) -> bool:
        """Whether the process is stopping."""
        return self._started.is_set()

    def start(self) -> None:
        """The process stops from now on."""
        self._started.set()

    async def wait(self) -> None:
        """Returns when the process begins to stop."""
        await self._started.wait()


def draining_error() -> TroupeError:
    """What a stream ends with when its server stops: the client connects again and goes on."""
    return TroupeError(
        ErrorReason.ERROR_REASON_SERVER_DRAINING, "the server is stopping; connect again and go on where you were"
    )


@asynccontextmanager
async def serving(
    settings: ServerSettings,
    *,
    drain: Drain,
    services: Mapping[str, Callable[[grpc.aio.Server], None]],
    dependencies: Mapping[str, Check],
    precheck: Precheck = no_precheck,
) -> AsyncIterator[str]:
    """Serves inside the block, and drains when `drain` has started and the block is left.

    `services` maps full service names to what registers them; `precheck` refuses requests whose rules would take long
    to check. Yields the address that is bound.

    Raises:
        StartupError: the address cannot be bound.
    """
    server = _new_server(settings, precheck)
    for register in services.values():
        register(server)
    health = Health(services=list(services), dependencies=dependencies)
    health.register(server)
    if settings.reflection:
        names = (*services, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    address = _bind(server, settings.listen)
    async with AsyncExitStack() as stack:
        if settings.admin is not None:
            await stack.enter_async_context(admin_port(settings.admin, drain=drain, problems=lambda: health.problems))
        await server.start()
        get_logger().info("serving", address=address, services=list(services))
        watching = asyncio.create_task(health.watch(), name="health")
        try:
            yield address
        finally:
            drain.start()
            await health.drain()
            watching.cancel()
            await server.stop(settings.grace_seconds)
            get_logger().info("stopped")


def run(name: str, main: Callable[[Drain], Coroutine[Any, Any, None]]) -> None:
    """Runs a process: logs, signals, uvloop; ends with exit code 2 when it cannot start.

    `main` gets a `Drain` that starts on SIGTERM and SIGINT, and returns after it.
    """
    gc.freeze()  # what was imported lives as long as the process
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    try:
        configure(name, LogSettings.load())
        uvloop.run(_traced(name, TelemetrySettings.load(), main))
    except (SettingsError, StartupError) as error:
        sys.exit(f"{name}: {error}")


async def _traced(name: str, settings: TelemetrySettings, main: Callable[[Drain], Coroutine[Any, Any, None]]) -> None:
    async with configure_tracing(name, settings):
        await _with_signals(main)


async def _with_signals(main: Callable[[Drain], Coroutine[Any, Any, None]]) -> None:
    drain = Drain()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.start)
    await main(drain)


def _new_server(settings: ServerSettings, precheck: Precheck) -> grpc.aio.Server:
    options: Sequence[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", _REFUSABLE * settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        # An idle client that keeps its connection alive is no abuse; gRPC would cut it after two such pings.
        ("grpc.http2.max_ping_strikes", 0),
        # The defaults (1,000 and 3,000) drop streams at random when thousands open at once.
        ("grpc.server.max_pending_requests", 100_000),
        ("grpc.server.max_pending_requests_hard_limit", 200_000),
    ]
    interceptors = server_interceptors(max_message_bytes=settings.max_message_bytes, precheck=precheck)
    return grpc.aio.server(interceptors=interceptors, options=options)


@asynccontextmanager
async def admin_port(listen: str, *, drain: Drain, problems: Callable[[], Mapping[str, str]]) -> AsyncIterator[None]:
    """Serves metrics and health over plain HTTP inside the block.

    Raises:
        StartupError: the address cannot be bound.
    """

    def all_problems() -> Mapping[str, str]:
        return {**problems(), "server": "stopping"} if drain.started else problems()

    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(admin_server(listen, problems=all_problems))
        except OSError as error:
            raise StartupError(f"cannot open the admin port on {listen!r}: {error.strerror or error}") from None
        get_logger().info("admin port open", address=address)
        yield


def _bind(server: grpc.aio.Server, listen: str) -> str:
    host = listen.rpartition(":")[0]
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError:
        raise StartupError(f"cannot listen on {listen!r}: the port is taken or the address is not ours") from None
    return f"{host}:{port}"
