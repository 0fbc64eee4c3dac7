"""Tasks that run beside what started them, and never longer."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def background(work: Coroutine[Any, Any, T], *, name: str | None = None) -> AsyncGenerator[asyncio.Task[T], None]:
    """Runs work beside the block; it has ended when the block has. Who wants to know how awaits the task."""
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        await stop(task)


async def stop(*tasks: "asyncio.Future[Any]") -> None:
    """Cancels tasks and waits until they have ended, however they do."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
