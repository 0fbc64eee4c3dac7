"""A page in Chromium, driven from here; `tests/web/src/page.ts` lists the actions."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import pytest

from tests.support.web_clients import LINE_BYTES, WebClients, node_program


class WebPage:
    """What a person does with a page, and sees."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, action: str, *given: str) -> Any:
        """Does it; returns what it found."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([action, *given]).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline())
        assert isinstance(answer, list), f"{action} {given}: {answer['error']}"
        return answer[0]

    async def see(self, *selectors: str) -> None:
        """Waits until all of them are seen."""
        for selector in selectors:
            await self.do("see", selector)

    async def texts(self, selector: str) -> list[str]:
        """The texts of all elements of the selector."""
        texts: list[str] = await self.do("texts", selector)
        return texts


@asynccontextmanager
async def web_page(clients: WebClients) -> AsyncIterator[WebPage]:
    """Opens an empty page; skips the test where something is missing for it."""
    if not (resources.files("troupe.gateway.console") / "dist" / "index.html").is_file():
        pytest.skip("the live page is not built: run `make console`")
    pipe = asyncio.subprocess.PIPE
    command = [*node_program("page.mjs"), await clients.chromium()]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=LINE_BYTES)
    try:
        yield WebPage(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
