"""Records what an attempt says: in order, text gathered, one write under way at a time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.core.background import stop
from troupe.core.errors import TroupeError
from troupe.orchestrator.store.attempts import Attempt, AttemptStore
from troupe.orchestrator.store.patience import persistently
from troupe.orchestrator.worker.events import usage_counts

# What may wait for Redis before the agent's stream is no longer read.
_BUFFER_EVENTS: Final = 1_000
_BUFFER_BYTES: Final = 1 << 20
# A client with gRPC's default limits takes messages of 4 MiB.
_EVENT_BYTES: Final = 1 << 20


class Recorder:
    """The history of one attempt. Leaving the block writes what was gathered, unless it was cancelled."""

    def __init__(
        self, *, store: AttemptStore, attempt: Attempt, coalesce_seconds: float, on_lost: Callable[[], None]
    ) -> None:
        """`on_lost` is called when the store says that the attempt counts no more."""
        self._store = store
        self._attempt = attempt
        self._coalesce_seconds = coalesce_seconds
        self._on_lost = on_lost
        self._buffer: list[TaskEvent] = []
        self._buffered_bytes = 0
        self._recorded = 0
        self._closed = False
        # Most steps say nothing before they end: what it takes to write is made by the first event.
        self._filled: asyncio.Event
        self._emptied: asyncio.Event
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Recorder":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writing is None:
            return
        self._closed = True
        self._filled.set()
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            await stop(self._writing)
        else:
            await self._writing

    async def add(self, event: TaskEvent) -> None:
        """Takes an event; waits while too many do.

        Raises:
            TroupeError: MESSAGE_TOO_LARGE.
        """
        size = event.ByteSize()
        if size > _EVENT_BYTES:
            raise too_large(f"agent `{self._attempt.agent}` sent an event", size, _EVENT_BYTES)
        if self._writing is None:
            self._filled, self._emptied = asyncio.Event(), asyncio.Event()
            self._writing = asyncio.create_task(self._write_all())
        while len(self._buffer) >= _BUFFER_EVENTS or self._buffered_bytes >= _BUFFER_BYTES:
            self._emptied.clear()
            await self._emptied.wait()
        self._buffered_bytes += size
        last = self._buffer[-1] if self._buffer else None
        if last is not None and last.HasField("text_delta") and event.HasField("text_delta"):
            last.text_delta.text += event.text_delta.text
        else:
            self._buffer.append(event)
        self._filled.set()

    async def _write_all(self) -> None:
        while not self._closed or self._buffer:
            await self._filled.wait()
            self._filled.clear()
            if not self._closed and all(event.HasField("text_delta") for event in self._buffer):
                await self._gather()
            if self._buffer and not await self._flush():
                self._on_lost()
                return
            self._emptied.set()

    async def _gather(self) -> None:
        """Lets more text come, unless it ends."""
        try:
            async with asyncio.timeout(self._coalesce_seconds):
                while not self._closed:
                    await self._filled.wait()
                    self._filled.clear()
        except TimeoutError:
            pass

    async def _flush(self) -> bool:
        """Writes what is gathered. False: the attempt counts no more."""
        events, self._buffer, self._buffered_bytes = self._buffer, [], 0
        usage = {i: usage_counts(e.usage_reported.usage) for i, e in enumerate(events) if e.HasField("usage_reported")}
        encoded: Sequence[bytes] = [event.SerializeToString() for event in events]
        first = self._recorded
        self._recorded += len(events)
        return await persistently(lambda: self._store.report(self._attempt, first=first, events=encoded, usage=usage))


def too_large(what: str, size: int, most: int) -> TroupeError:
    """Something is larger than watchers could take."""
    return TroupeError(
        ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE,
        f"{what} of {size} bytes, more than the {most} that are taken; keep large results elsewhere and name them",
    )
