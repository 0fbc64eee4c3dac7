"""The admin port: metrics and health over plain HTTP, for Prometheus, orchestrators of containers and people."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from troupe.core.addresses import HostPort
from troupe.core.background import stop
from troupe.core.logs import get_logger
from troupe.core.telemetry.http import MAX_HEAD_BYTES, BadRequestError, Request, Response

_MAX_CONNECTIONS: Final = 64
# For a whole request head, and so also for how long a connection may idle between two.
_HEAD_SECONDS: Final = 30.0
_WRITE_SECONDS: Final = 10.0

Problems = Callable[[], Mapping[str, str]]
"""What keeps the process from serving, by its origin; empty when nothing does."""


@asynccontextmanager
async def admin_server(listen: str, *, problems: Problems) -> AsyncIterator[str]:
    """Serves inside the block; yields the address that is bound.

    Raises:
        OSError: the address cannot be bound.
    """
    where = HostPort.parse(listen)
    connections = _Connections(problems)
    server = await asyncio.start_server(connections.serve, where.bare_host, where.port, limit=MAX_HEAD_BYTES)
    try:
        yield f"{where.host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await connections.close()


class _Connections:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) > _MAX_CONNECTIONS:
                await _send(writer, Response(503, b"too many connections\n"), keep=False)
                return
            while await self._exchange(reader, writer):
                pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it went away, said nothing for too long, or we stop
        finally:
            self._tasks.discard(task)
            writer.close()

    async def close(self) -> None:
        """Ends all connections."""
        await stop(*self._tasks)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                request = Request.parse(await reader.readuntil(b"\r\n\r\n"))
        except (BadRequestError, asyncio.LimitOverrunError) as error:
            status = 400 if isinstance(error, BadRequestError) else 431
            await _send(writer, Response(status, f"{error}\n".encode()), keep=False)
            return False
        response = self._answer(request)
        await _send(writer, response, keep=request.keep_alive, body=request.method != "HEAD")
        return request.keep_alive

    def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return Response(405, b"only GET and HEAD\n", headers={"Allow": "GET, HEAD"})
        match request.path:
            case "/metrics":
                return _metrics(request.headers.get("accept", ""))
            case "/healthz" | "/readyz":
                return _health(self._problems())
            case _:
                return Response(404, b"here are /metrics, /healthz and /readyz\n")


def _metrics(accept: str) -> Response:
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # it stumbles over versions that are no numbers
        encode, content_type = choose_encoder("")
    try:
        return Response(200, encode(REGISTRY), content_type=content_type)
    except Exception:  # noqa: BLE001 - the edge: any collector may fail
        get_logger().exception("metrics cannot be collected")
        return Response(500, b"metrics cannot be collected; the log says why\n")


def _health(problems: Mapping[str, str]) -> Response:
    said = {"status": "not serving" if problems else "serving", "problems": dict(problems)}
    return Response(503 if problems else 200, json.dumps(said).encode() + b"\n", content_type="application/json")


async def _send(writer: asyncio.StreamWriter, response: Response, *, keep: bool, body: bool = True) -> None:
    writer.write(response.encode(keep_alive=keep, body=body))
    async with asyncio.timeout(_WRITE_SECONDS):
        await writer.drain()
