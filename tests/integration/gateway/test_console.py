"""The live page in Chromium, on a real gateway."""

from collections.abc import AsyncIterator

import pytest

from tests.support.gateway import serving_gateway
from tests.support.task_server import TASK_ID, TaskServer, task_server
from tests.support.web_clients import WebClients
from tests.support.web_page import WebPage, web_page
from troupe.local.launch import free_port

pytestmark = pytest.mark.browser

PAUSE = 12
"""Sequence of the first of the two pieces that the second attempt of `write` says."""


@pytest.fixture
async def backend() -> AsyncIterator[tuple[TaskServer, str]]:
    async with task_server() as served:
        yield served


async def run_task(page: WebPage, gateway: str) -> None:
    await page.do("open", f"http://{gateway}/")
    await page.do("fill", "textarea", "why?")
    await page.do("press", "Control+Enter")


async def is_half_done(page: WebPage) -> None:
    """Twelve of the events are told, each once."""
    await page.see(
        f".task[data-events='{PAUSE}']", "[data-step=write][data-state=running]", ".connection[data-kind=live]"
    )
    assert await page.texts(".report .markdown") == ["Nothing"]
    assert await page.do("evaluate", "location.hash") == f"#/tasks/{TASK_ID}"


async def is_done(page: WebPage, server: TaskServer) -> None:
    """All events are told, each once, and the report stands there."""
    await page.see(f".task[data-state=completed][data-events='{len(server.events)}']", ".connection[data-kind=ended]")
    assert (await page.texts(".report h4, .report .markdown > p")) == ["Nothing is lost [1].", "Sources"]
    assert await page.texts(".step .title") == ["Find passages", "Write the report"]
    assert await page.texts(".step .word") == ["completed", "completed"]
    assert await page.texts(".steps [data-step=write] .facts") == ["writer · attempt 2"]
    assert await page.texts(".plan .agent") == ["retriever · completed", "writer · completed"]


async def test_reloads_and_restarts_of_the_gateway_lose_and_double_nothing(
    backend: tuple[TaskServer, str], web_clients: WebClients
) -> None:
    server, address = backend
    server.pause_after = PAUSE
    listen = f"127.0.0.1:{free_port()}"
    async with web_page(web_clients) as page:
        async with serving_gateway(address, listen=listen) as gateway:
            await run_task(page, gateway)
            await is_half_done(page)
            await page.do("reload")
            await is_half_done(page)
            assert await page.do("problems") == []  # the content security policy suits the page
        await page.see(".connection[data-kind=waiting]")
        assert (await page.texts(".connection"))[0].startswith("Reconnecting in")
        assert await page.texts(".report .markdown") == ["Nothing"]
        server.go_on.set()
        async with serving_gateway(address, listen=listen):
            await is_done(page, server)
            await page.see(".recent a[aria-current=page]")
            await page.do("click", "a.button")
            await page.see("textarea")
        assert [request.after_sequence for request in server.watch_requests] == [0, 0, PAUSE]
