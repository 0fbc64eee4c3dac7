"""Large messages in JSON, which are put together here, and clients that do not read them."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.gateway import WebConnection, fetch, serving_gateway
from tests.support.processes import reached, until
from tests.support.task_server import TASK_ID, long_history, task_server
from troupe.local.launch import free_port

EVENTS, TEXT_BYTES, SILENT = 6, 2_000_000, 12


@contextmanager
def silent(address: str, request: bytes) -> Iterator[socket.socket]:
    """A connection that takes as little as it can."""
    host, _, port = address.rpartition(":")
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.connect((host, int(port)))
        opened.sendall(request)
        yield opened


async def stalled(admin: str) -> int:
    """Readers that were sent away."""
    metrics = (await fetch(admin, "GET", "/metrics")).body.decode()
    found = re.search(r'refused_total\{reason="readers_stalled"\} (\d+)', metrics)
    return int(found[1]) if found else 0


@pytest.mark.parametrize(("max_unread_bytes", "stay"), [(4 << 20, 2), (1 << 30, SILENT)])
async def test_clients_that_leave_too_much_together_are_sent_away(max_unread_bytes: int, stay: int) -> None:
    request = f"GET /stream/{TASK_ID} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    admin = f"127.0.0.1:{free_port()}"
    async with task_server() as (server, backend):
        server.events = long_history(EVENTS, text_bytes=TEXT_BYTES)
        async with (
            serving_gateway(backend, admin=admin, max_unread_bytes=max_unread_bytes) as gateway,
            WebConnection.open(gateway) as reader,
        ):
            with ExitStack() as stack:
                for _ in range(SILENT):
                    stack.enter_context(silent(gateway, request))
                await reached(lambda: len(server.told) == SILENT and all(server.told))

                async def others_are_gone() -> bool:
                    return await stalled(admin) >= SILENT - stay

                await until(others_are_gone)
                reader.send("GET", f"/stream/{TASK_ID}", {})
                body = (await reader.response()).body
                assert body.count(b"event: text_delta") == EVENTS - 1
                assert b"event: task_completed" in body
                assert await stalled(admin) == SILENT - stay
