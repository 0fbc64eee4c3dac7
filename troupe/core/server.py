"""Servers: how every process starts, serves, drains and stops."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import grpc
import grpc.aio
import uvloop

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.addresses import HostPort
from troupe.core.background import background, stop
from troupe.core.errors import TroupeError
from troupe.core.health import Check, Health
from troupe.core.interceptors import server_interceptors
from troupe.core.interceptors.validation import Precheck, no_precheck
from troupe.core.logs import LogSettings, configure, get_logger
from troupe.core.memory import give_back_memory
from troupe.core.reflection import add_reflection
from troupe.core.server_options import server_options
from troupe.core.server_settings import ServerSettings as ServerSettings  # noqa: PLC0414 - for whoever serves
from troupe.core.settings import ServiceSettings, SettingsError
from troupe.core.settings_view import section_of, unknown_variables
from troupe.core.telemetry.admin import admin_server
from troupe.core.telemetry.settings import TelemetrySettings
from troupe.core.telemetry.tracing import configure_tracing
from troupe.core.terminal_text import terminal_line

_CANNOT_START: Final = 2
# Streams and calls live long and are many: with Python's defaults (700, 10, 10) a burst of them sets off collections
# that walk all of them and find nothing, and every stream stands still meanwhile.
_COLLECTOR_THRESHOLDS: Final = (50_000, 5, 10)


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
        add_reflection(server, services=(*services, "grpc.health.v1.Health"))
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
            await stop(watching)
            await server.stop(settings.grace_seconds)
            get_logger().info("stopped")


def run(name: str, main: Callable[[Drain], Coroutine[Any, Any, None]], *settings: type[ServiceSettings]) -> None:
    """Runs a process: logs, signals, uvloop; ends with exit code 2 when it cannot start.

    `main` gets a `Drain` that starts on SIGTERM and SIGINT, and returns after it. Variables that look like one of
    `settings`, which `main` reads, and are none are logged.
    """
    gc.freeze()  # what was imported lives as long as the process
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    try:
        configure(name, LogSettings.load())
        _warn_of_unknown((*settings, LogSettings, TelemetrySettings))
        uvloop.run(_traced(name, TelemetrySettings.load(), main))
    except (SettingsError, StartupError) as error:
        sys.stderr.write(terminal_line(f"{name}: {error}") + "\n")
        sys.exit(_CANNOT_START)


def _warn_of_unknown(models: Sequence[type[ServiceSettings]]) -> None:
    values = [value for model in models for value in section_of(model).values]
    for problem in unknown_variables(values, sections=[model.section for model in models]):
        get_logger().warning("unknown setting", problem=problem)


async def _traced(name: str, settings: TelemetrySettings, main: Callable[[Drain], Coroutine[Any, Any, None]]) -> None:
    async with configure_tracing(name, settings):
        await _with_signals(main)


async def _with_signals(main: Callable[[Drain], Coroutine[Any, Any, None]]) -> None:
    drain = Drain()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.start)
    async with background(give_back_memory(), name="memory"):
        await main(drain)


def _new_server(settings: ServerSettings, precheck: Precheck) -> grpc.aio.Server:
    interceptors = server_interceptors(max_message_bytes=settings.max_message_bytes, precheck=precheck)
    return grpc.aio.server(interceptors=interceptors, options=server_options(settings))


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
    _try_address(listen)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError:
        raise StartupError(f"cannot listen on {listen!r}: the port is taken or the address is not ours") from None
    return str(replace(HostPort.parse(listen), port=port))


def _try_address(listen: str) -> None:
    """Binds and lets go: gRPC would not say what is wrong with an address, but write lines of its own about it."""
    where = HostPort.parse(listen)
    try:
        family, _, _, _, address = socket.getaddrinfo(where.bare_host, where.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StartupError(f"cannot listen on {listen!r}: {error.strerror or error}") from None
