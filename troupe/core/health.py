"""Health: a process serves while everything that it needs answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from troupe.core.logs import get_logger

Check = Callable[[], Awaitable[None]]
"""Returns when the dependency answers; raises, with a message for people, when it does not."""

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """The `grpc.health.v1` service of a process, fed by checks of its dependencies."""

    def __init__(
        self,
        *,
        services: Sequence[str],
        dependencies: Mapping[str, Check],
        interval_seconds: float = 1.0,
        timeout_seconds: float = 5.0,
    ) -> None:
        """`services` are full names; the overall status under the empty name is added."""
        self._services = ("", *services)
        self._dependencies = dependencies
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._servicer = health.aio.HealthServicer()
        self._problems: dict[str, str | None] = dict.fromkeys(dependencies, "not checked yet")
        self._draining = False

    def register(self, server: grpc.aio.Server) -> None:
        """Adds the health service to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def watch(self) -> None:
        """Checks the dependencies until it is cancelled; returns never."""
        while True:
            await self._check_all()
            await asyncio.sleep(self._interval_seconds)

    async def drain(self) -> None:
        """Reports NOT_SERVING from now on, for good."""
        self._draining = True
        await self._servicer.enter_graceful_shutdown()

    @property
    def problems(self) -> dict[str, str]:
        """What each failing dependency said last."""
        return {name: problem for name, problem in self._problems.items() if problem is not None}

    async def _check_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name, check in self._dependencies.items():
                group.create_task(self._check(name, check))
        status = _NOT_SERVING if self.problems else _SERVING
        if not self._draining:
            for service in self._services:
                await self._servicer.set(service, status)

    async def _check(self, name: str, check: Check) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await check()
        except Exception as error:  # noqa: BLE001 - whatever a check raises is the problem it reports
            problem = "does not answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            if self._problems[name] != problem:
                get_logger().warning("waiting for dependency", dependency=name, problem=problem)
            self._problems[name] = problem
        else:
            if self._problems[name] is not None:
                get_logger().info("dependency answers", dependency=name)
            self._problems[name] = None


def grpc_health_check(channel: grpc.aio.Channel, service: str = "") -> Check:
    """A check that asks another server's health service."""
    stub = health_pb2_grpc.HealthStub(channel)

    async def check() -> None:
        try:
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=3)
        except grpc.aio.AioRpcError as error:
            raise ConnectionError(error.details() or error.code().name) from None
        if reply.status != _SERVING:
            raise ConnectionError("answers NOT_SERVING")

    return check
