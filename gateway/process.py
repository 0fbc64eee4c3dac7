"""The gateway."""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial

from troupe.core.logs import get_logger
from troupe.core.reflection import REFLECTION_SERVICES
from troupe.core.server import Drain, admin_port, run
from troupe.gateway import pages
from troupe.gateway.application import GatewayApplication, ServiceAllowList
from troupe.gateway.assets import Assets
from troupe.gateway.dialects import Dialects
from troupe.gateway.downstream.http1 import Http1Limits
from troupe.gateway.facades.router import Facades
from troupe.gateway.methods import Methods
from troupe.gateway.metrics import CallMetrics, measuring
from troupe.gateway.observation import Observer
from troupe.gateway.server import WebServer
from troupe.gateway.settings import GatewaySettings
from troupe.gateway.tls import ServerTls, TlsFiles
from troupe.gateway.upstream.pool import BackendPool, ReconnectPolicy
from troupe.gateway.wire.cors import CorsPolicy
from troupe.gateway.wire.hosts import HostPolicy
from troupe.gateway.wire.http2_client import ClientLimits
from troupe.gateway.wire.http2_server import Http2Limits


async def serve(settings: GatewaySettings, drain: Drain) -> None:
    """Serves until the drain starts and open calls have ended or the grace has passed."""
    pool = BackendPool(
        addresses=settings.backends,
        connections_per_backend=settings.connections_per_backend,
        max_connections_per_backend=settings.max_connections_per_backend,
        limits=ClientLimits(stream_window_bytes=settings.stream_window_bytes),
        reconnect=ReconnectPolicy(),
    )
    methods = Methods.load(settings.descriptors)
    metrics = CallMetrics(lambda path: methods.find(path) is not None)
    tls_files = TlsFiles.of(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    application = GatewayApplication(
        backends=pool,
        health=lambda: pages.health(serving=pool.serving, draining=drain.started, problems=pool.problems),
        hosts=HostPolicy(settings.allowed_hosts, listen=settings.listen, own_name=socket.gethostname()),
        cors_policy=CorsPolicy(settings.cors_origins, scheme="http" if tls_files is None else "https"),
        services=ServiceAllowList((*settings.services, *(REFLECTION_SERVICES if settings.reflection else ()))),
        dialects=Dialects(
            methods,
            max_message_bytes=settings.max_message_bytes,
            max_response_bytes=settings.max_response_bytes,
        ),
        facades=Facades(
            max_body_bytes=settings.max_message_bytes,
            max_response_bytes=settings.max_response_bytes,
            idle_seconds=settings.idle_stream_seconds,
        ),
        max_concurrent_calls=settings.max_concurrent_calls,
        observer=Observer(metrics, access_log=settings.access_log),
        assets=Assets.load(),
    )
    server = WebServer(
        application=application,
        limits=Http1Limits(
            max_header_bytes=settings.max_header_bytes,
            header_timeout_seconds=settings.header_timeout_seconds,
            body_timeout_seconds=settings.body_timeout_seconds,
            write_timeout_seconds=settings.write_timeout_seconds,
            takes_stream=methods.takes_stream,
            keep_alive_seconds=settings.keep_alive_seconds,
        ),
        http2=Http2Limits(
            max_concurrent_streams=settings.max_streams_per_connection,
            max_header_bytes=settings.max_header_bytes,
            max_resets=settings.max_stream_resets,
            header_timeout_seconds=settings.header_timeout_seconds,
            body_timeout_seconds=settings.body_timeout_seconds,
            takes_stream=methods.takes_stream,
            write_timeout_seconds=settings.write_timeout_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
        ),
        max_connections=settings.max_connections,
        max_unread_bytes=settings.max_unread_bytes,
        tls=ServerTls(tls_files) if tls_files is not None else None,
    )
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(server.listening(settings.listen))
        await stack.enter_async_context(pool.running())
        stack.enter_context(measuring(metrics, server, pool))
        if settings.admin is not None:
            problems = partial(_problems, pool)
            await stack.enter_async_context(admin_port(settings.admin, drain=drain, problems=problems))
        get_logger().info("serving", address=address, backends=list(settings.backends))
        await drain.wait()
        application.drain()
        server.close_idle()
        await _finish(application, server, settings.grace_seconds)
    get_logger().info("stopped")


def _problems(pool: BackendPool) -> Mapping[str, str]:
    return {} if pool.serving else pool.problems


async def _finish(application: GatewayApplication, server: WebServer, grace_seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(grace_seconds):
            await application.idle()
    application.abort_calls()
    await server.close()


async def main(drain: Drain) -> None:
    """Loads the settings and serves."""
    await serve(GatewaySettings.load(), drain)


def run_process() -> None:
    """Runs the process to its end."""
    run("gateway", main, GatewaySettings)
