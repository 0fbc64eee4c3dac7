"""Starts the gateway: `python -m gateway`."""

import asyncio
from contextlib import suppress

from gateway import pages
from gateway.access_log import NoAccessLog, StructuredAccessLog
from gateway.application import CallLimits, GatewayApplication, ServiceAllowList
from gateway.assets import Assets
from gateway.downstream.http1 import Http1Limits
from gateway.server import WebServer
from gateway.settings import GatewaySettings
from gateway.upstream.pool import BackendPool, ReconnectPolicy
from gateway.wire.cors import CorsPolicy
from gateway.wire.http2_client import ClientLimits
from troupe.core.logs import get_logger
from troupe.core.server import Drain, run


async def serve(settings: GatewaySettings, drain: Drain) -> None:
    """Serves until the drain starts and open calls have ended or the grace has passed."""
    pool = BackendPool(
        addresses=settings.backends,
        connections_per_backend=settings.connections_per_backend,
        limits=ClientLimits(stream_window_bytes=settings.stream_window_bytes),
        reconnect=ReconnectPolicy(),
    )
    application = GatewayApplication(
        backends=pool,
        health=lambda: pages.health(serving=pool.serving, draining=drain.started, problems=pool.problems),
        cors_policy=CorsPolicy(settings.cors_origins),
        services=ServiceAllowList(settings.services),
        limits=CallLimits(settings.max_message_bytes, settings.max_concurrent_calls),
        access_log=StructuredAccessLog() if settings.access_log else NoAccessLog(),
        assets=Assets.load(),
    )
    server = WebServer(
        application=application,
        limits=Http1Limits(
            max_header_bytes=settings.max_header_bytes,
            header_timeout_seconds=settings.header_timeout_seconds,
            body_timeout_seconds=settings.body_timeout_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
        ),
        max_connections=settings.max_connections,
    )
    async with server.listening(settings.listen) as address, pool.running():
        get_logger().info("serving", address=address, backends=list(settings.backends))
        await drain.wait()
        application.drain()
        server.close_idle()
        await _finish(application, server, settings.grace_seconds)
    get_logger().info("stopped")


async def _finish(application: GatewayApplication, server: WebServer, grace_seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(grace_seconds):
            await application.idle()
    application.abort_calls()
    await server.close()


async def main(drain: Drain) -> None:
    """Loads the settings and serves."""
    await serve(GatewaySettings.load(), drain)


if __name__ == "__main__":
    run("gateway", main)
