"""A page in Chromium, driven from here; `tests/web/src/page.ts` lists the actions."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.support.web_clients import require

_PROGRAM = Path(__file__).parents[1] / "web" / "dist" / "page.mjs"
_LINE_BYTES = 16 << 20


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


def require_page() -> Sequence[str]:
    """The command that drives a page; skips the test where something is missing for it."""
    node, _, _, chromium = require("browser")
    if not (resources.files("gateway.console") / "dist" / "index.html").is_file():
        pytest.skip("the live page is not built: run `make console`")
    return [node, str(_PROGRAM), chromium]


@asynccontextmanager
async def web_page() -> AsyncIterator[WebPage]:
    """Opens an empty page."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*require_page(), stdin=pipe, stdout=pipe, limit=_LINE_BYTES)
    try:
        yield WebPage(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
