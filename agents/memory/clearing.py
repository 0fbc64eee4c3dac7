"""Clears away what broken-off ingests and deletions left, now and then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from troupe.agents.memory.removal import Removal
from troupe.core.background import background
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger

_EVERY_SECONDS: Final = 600
_AGAIN_SECONDS: Final = 15  # while Milvus does not answer


@asynccontextmanager
async def clearing(removal: Removal, *, older_than_seconds: float) -> AsyncIterator[None]:
    """Clears for as long as it is open. What is younger may belong to work that goes on."""
    async with background(_clear_for_ever(removal, older_than_seconds), name="clearing"):
        yield


async def _clear_for_ever(removal: Removal, older_than_seconds: float) -> None:
    while True:
        pause = _EVERY_SECONDS
        try:
            if cleared := await removal.clear(older_than_seconds=older_than_seconds):
                get_logger().info("cleared what broken-off work left", documents=cleared)
        except TroupeError:
            pause = _AGAIN_SECONDS
        await asyncio.sleep(pause)
