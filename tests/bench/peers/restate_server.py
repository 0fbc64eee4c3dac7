"""Restate: its server, a binary from its npm package, beside the Python program that it calls."""

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.bench.peers.install import completed
from tests.bench.peers.peer import UnavailableError
from tests.bench.peers.program import ProgramPeer
from tests.support.processes import running, until
from troupe.local.launch import Launch, free_port

PACKAGE = "@restatedev/restate-server"
PARTITIONS = 4
"""Of its default 24 most would be idle on two cores; four gave the higher rate."""


class RestatePeer(ProgramPeer):
    """The ingress, the admin API and the service each on a free port of loopback."""

    @asynccontextmanager
    async def running(self, redis_url: str, folder: Path) -> AsyncIterator[None]:
        server = await _server(folder / "restate-npm")
        ingress, admin, service = free_port(), free_port(), free_port()
        self.env = {"PEER_INGRESS": f"http://127.0.0.1:{ingress}"}
        self.workers = [["-m", "hypercorn", "--workers", "2", "--bind", f"127.0.0.1:{service}", "chain_service:app"]]
        async with AsyncExitStack() as stack:
            await self.start(stack, redis_url, folder)
            launch = _launch(server, folder / self.name, ingress=ingress, admin=admin)
            stack.enter_context(running(launch, log=folder / self.name / "server.log"))
            await _registered(f"http://127.0.0.1:{admin}/deployments", f"http://127.0.0.1:{service}")
            await self.latencies(1)
            yield


async def _server(folder: Path) -> Path:
    if _binary(folder) is None:
        options = ["--no-audit", "--no-fund", "--silent", "--ignore-scripts", "--prefix", str(folder)]
        await completed(["npm", "install", *options, PACKAGE])
    binary = _binary(folder)
    if binary is None:
        raise UnavailableError(f"`{PACKAGE}` has no binary for this machine")
    return binary


def _binary(folder: Path) -> Path | None:
    """The server itself: the package's own start script is a Node process around it."""
    return next(iter(folder.glob(f"node_modules/{PACKAGE}-*/bin/restate-server")), None)


def _launch(server: Path, folder: Path, *, ingress: int, admin: int) -> Launch:
    env: Mapping[str, str] = {
        "RESTATE_BASE_DIR": str(folder / "data"),
        "RESTATE_NODE_NAME": "bench",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{free_port()}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_DEFAULT_NUM_PARTITIONS": str(PARTITIONS),
        "RESTATE_LOG_FILTER": "warn",
        "RESTATE_DISABLE_TELEMETRY": "true",
    }
    return Launch([str(server), "--no-logo"], env)


async def _registered(deployments: str, service: str) -> None:
    request = urllib.request.Request(
        deployments, data=json.dumps({"uri": service}).encode(), headers={"content-type": "application/json"}
    )

    def accepted() -> bool:
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=20) as answer:
            return bool(answer.status < 300)
        return False

    try:
        await until(lambda: asyncio.to_thread(accepted), timeout_seconds=40)
    except AssertionError as error:
        raise UnavailableError("`restate-server` did not take up the service within 40 s") from error
