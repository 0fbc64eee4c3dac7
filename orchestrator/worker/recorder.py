"""Records what an attempt says: in order, text gathered, one write under way at a time."""

import asyncio
from collections.abc import Sequence
from typing import Final

from orchestrator.store.attempts import Attempt, AttemptStore
from orchestrator.worker.events import usage_counts
from orchestrator.worker.leases import AttemptLostError
from orchestrator.worker.patience import persistently
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.core.errors import TroupeError

# What may wait for Redis before the agent's stream is no longer read.
_BUFFER_EVENTS: Final = 1_000
_BUFFER_BYTES: Final = 1 << 20
# A client with gRPC's default limits takes messages of 4 MiB.
_EVENT_BYTES: Final = 1 << 20


class Recorder:
    """The history of one attempt. `run` writes what `add` gathers until `close`."""

    def __init__(self, *, store: AttemptStore, attempt: Attempt, coalesce_seconds: float) -> None:
        self._store = store
        self._attempt = attempt
        self._coalesce_seconds = coalesce_seconds
        self._buffer: list[TaskEvent] = []
        self._buffered_bytes = 0
        self._recorded = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._closed = False

    async def add(self, event: TaskEvent) -> None:
        """Takes an event; waits while too many do.

        Raises:
            TroupeError: MESSAGE_TOO_LARGE.
        """
        size = event.ByteSize()
        if size > _EVENT_BYTES:
            raise too_large(f"agent `{self._attempt.agent}` sent an event", size, _EVENT_BYTES)
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

    async def run(self) -> None:
        """Writes until it is closed and all is written.

        Raises:
            AttemptLostError: the attempt counts no more.
        """
        while not self._closed or self._buffer:
            await self._filled.wait()
            if not self._closed and all(event.HasField("text_delta") for event in self._buffer):
                await asyncio.sleep(self._coalesce_seconds)
            await self._flush()

    def close(self) -> None:
        """Nothing follows."""
        self._closed = True
        self._filled.set()

    async def _flush(self) -> None:
        self._filled.clear()
        events, self._buffer, self._buffered_bytes = self._buffer, [], 0
        if events:
            await self._write(events)
        self._emptied.set()
        if self._closed:
            self._filled.set()

    async def _write(self, events: Sequence[TaskEvent]) -> None:
        usage = {i: usage_counts(e.usage_reported.usage) for i, e in enumerate(events) if e.HasField("usage_reported")}
        encoded = [event.SerializeToString() for event in events]
        first = self._recorded
        self._recorded += len(events)
        if not await persistently(lambda: self._store.report(self._attempt, first=first, events=encoded, usage=usage)):
            raise AttemptLostError


def too_large(what: str, size: int, most: int) -> TroupeError:
    """Something is larger than watchers could take."""
    return TroupeError(
        ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE,
        f"{what} of {size} bytes, more than the {most} that are taken; keep large results elsewhere and name them",
    )
