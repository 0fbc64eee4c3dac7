"""The clients of `tests/web`, run in Node or in Chromium."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.processes import running, until
from troupe.local.launch import Launch

Runtime = Literal["node", "browser"]

PROGRAMS = Path(__file__).parents[1] / "web" / "dist"
LINE_BYTES = 16 << 20
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--remote-debugging-port=0",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-renderer-backgrounding",
    "--disable-sync",
    "--no-first-run",
    "--password-store=basic",
)


@dataclass
class WebClients:
    """Runs them. Those in Chromium are tabs of one process, each with connections and a cache of its own."""

    folder: Path
    stack: ExitStack = field(default_factory=ExitStack)
    _endpoint: str = ""
    _tabs_up: bool = False

    async def chromium(self) -> str:
        """The address under which Chromium is driven; starts it when it is asked for first."""
        if not self._endpoint:
            program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
            if program is None:
                pytest.skip("Chromium is not installed: run tests/web/install.sh as root")
            profile = self.folder / "profile"
            launch = Launch([program, *_FLAGS, f"--user-data-dir={profile}"])
            self.stack.enter_context(running(launch, log=self.folder / "chromium.log"))
            said = profile / "DevToolsActivePort"

            async def is_up() -> bool:
                return len(said.read_text().split()) == 2

            await until(is_up)
            port, path = said.read_text().split()
            self._endpoint = f"ws://127.0.0.1:{port}{path}"
        return self._endpoint

    @asynccontextmanager
    async def client(
        self, runtime: Runtime, client: str, address: str, *arguments: str, scheme: str = "http"
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """Runs a client against the gateway at `host:port`; yields its lines, the last of which is the outcome.

        What still runs at the end is killed: a process in Node, a tab in Chromium.
        """
        job = ["--url", f"{scheme}://{address}", "--client", client, *arguments]
        async with _process(job) if runtime == "node" else self._tab(job) as output:

            async def lines() -> AsyncIterator[Any]:
                async for line in output:
                    yield json.loads(line)

            yield lines()

    async def run(
        self, runtime: Runtime, client: str, address: str, *arguments: str
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Runs a client to its end: what it printed, and the outcome."""
        async with self.client(runtime, client, address, *arguments) as lines:
            *printed, outcome = [line async for line in lines]
        return printed, outcome

    @asynccontextmanager
    async def _tab(self, job: list[str]) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_unix_connection(await self._tabs(), limit=LINE_BYTES)
        writer.write(json.dumps(job).encode() + b"\n")
        try:
            yield reader
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _tabs(self) -> Path:
        """The socket of the program that opens tabs."""
        socket = self.folder / "tabs"
        if not self._tabs_up:
            launch = Launch([*node_program("tabs.mjs"), await self.chromium(), str(socket)])
            self.stack.enter_context(running(launch, log=self.folder / "tabs.log"))

            async def is_up() -> bool:
                return socket.exists()

            await until(is_up)
            self._tabs_up = True
        return socket


@asynccontextmanager
async def _process(job: list[str]) -> AsyncIterator[asyncio.StreamReader]:
    command = [*node_program("client.mjs"), *job]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES)
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest.fixture(scope="session")
def web_clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebClients]:
    """Clients that share a Chromium."""
    clients = WebClients(tmp_path_factory.mktemp("chromium"))
    with clients.stack:
        yield clients


def node_program(name: str) -> list[str]:
    """The command that runs a program of `tests/web`; skips the test where something is missing for it."""
    node = shutil.which("node") or shutil.which("node", path=Path(sys.executable).parent)
    if node is None:
        pytest.skip("Node is not installed")
    if not (PROGRAMS / name).exists():
        pytest.skip("the web clients are not built: run tests/web/install.sh")
    return [node, str(PROGRAMS / name)]
