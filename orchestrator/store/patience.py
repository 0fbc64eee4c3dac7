"""Patience with a store that is gone for a while."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.backoff import Backoff
from troupe.core.errors import TroupeError

T = TypeVar("T")

_FIRST_SECONDS: Final = 0.05
_LONGEST_SECONDS: Final = 1.0
_LAST_WORDS_SECONDS: Final = 1.0


async def in_time(last_words: Awaitable[T]) -> T | None:
    """Awaits what a process that stops has still to say; None when the store does not take it soon.

    What is not said is told by leases, which run out.
    """
    with contextlib.suppress(TimeoutError, TroupeError):
        async with asyncio.timeout(_LAST_WORDS_SECONDS):
            return await last_words
    return None


async def persistently(operation: Callable[[], Awaitable[T]]) -> T:
    """Repeats an operation, which must bear it, until the store answers."""
    backoff = Backoff(first_seconds=_FIRST_SECONDS, longest_seconds=_LONGEST_SECONDS)
    while True:
        try:
            return await operation()
        except TroupeError as error:
            if error.reason != ErrorReason.ERROR_REASON_STORE_UNAVAILABLE:
                raise
        await asyncio.sleep(backoff.next_seconds() * random.uniform(0.5, 1))  # noqa: S311 - jitter
