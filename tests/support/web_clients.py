"""The clients of `tests/web`, run in Node or in Chromium."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

Runtime = Literal["node", "browser"]

_PROGRAM = Path(__file__).parents[1] / "web" / "dist" / "client.mjs"
_LINE_BYTES = 16 << 20
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def require(runtime: Runtime) -> Sequence[str]:
    """The command that runs a client; skips the test where something is missing for it."""
    node = shutil.which("node") or shutil.which("node", path=Path(sys.executable).parent)
    if node is None:
        pytest.skip("Node is not installed")
    if not _PROGRAM.exists():
        pytest.skip("the web clients are not built: run tests/web/install.sh")
    if runtime == "node":
        return [node, str(_PROGRAM)]
    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if chromium is None:
        pytest.skip("Chromium is not installed: run tests/web/install.sh as root")
    return [node, str(_PROGRAM), "--browser", chromium]


@asynccontextmanager
async def web_client(runtime: Runtime, client: str, address: str, *arguments: str) -> AsyncIterator[AsyncIterator[Any]]:
    """Runs a client against the gateway at `host:port`; yields its lines, the last of which is the outcome."""
    process = await asyncio.create_subprocess_exec(
        *require(runtime),
        "--url",
        f"http://{address}",
        "--client",
        client,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    assert process.stdout is not None
    output = process.stdout

    async def lines() -> AsyncIterator[Any]:
        async for line in output:
            yield json.loads(line)

    try:
        yield lines()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def run_web_client(
    runtime: Runtime, client: str, address: str, *arguments: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Runs a client to its end: what it printed, and the outcome."""
    async with web_client(runtime, client, address, *arguments) as lines:
        *printed, outcome = [line async for line in lines]
    return printed, outcome
