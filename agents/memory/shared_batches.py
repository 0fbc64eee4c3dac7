"""Texts of many documents in the same batches: a model that reads one short text at a time idles."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from troupe.agents.memory.embedding import Embedder, Embeddings
from troupe.core.errors import TroupeError

_HALVINGS: Final = 3


@dataclass(eq=False, slots=True)
class _Wanted:
    """A text of somebody who waits for its vector."""

    text: str
    answer: "asyncio.Future[tuple[str, Sequence[float]]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class SharedBatches:
    """Embeds what all callers wait for, in batches of texts of about the same length, some batches at a time."""

    def __init__(self, embedder: Embedder, *, batch: int, concurrency: int) -> None:
        self._embedder = embedder
        self._batch = batch
        self._concurrency = concurrency
        self._waiting: list[_Wanted] = []
        self._running: set[asyncio.Task[None]] = set()

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds at least one text."""
        wanted = [_Wanted(text) for text in texts]
        self._waiting += wanted
        # Whoever is ready at the same moment comes along.
        asyncio.get_running_loop().call_soon(self._start)
        try:
            answers = await asyncio.gather(*(each.answer for each in wanted))
        finally:
            self._leave(wanted)
        return Embeddings(answers[0][0], [vector for _, vector in answers])

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._concurrency:
            # The longest first: what is left at the end of an ingest are short texts, which fill small batches.
            self._waiting.sort(key=lambda each: len(each.text), reverse=True)
            batch, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
            task = asyncio.create_task(self._run(batch), name="embed")
            self._running.add(task)
            for each in batch:
                each.answer.add_done_callback(partial(_stop_unless_wanted, task=task, batch=batch))
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._start()

    async def _run(self, batch: Sequence[_Wanted]) -> None:
        try:
            embeddings = await self._try([each.text for each in batch], halvings=_HALVINGS)
        except TroupeError as error:
            for each in batch:
                if not each.answer.done():
                    each.answer.set_exception(error)
            return
        for each, vector in zip(batch, embeddings.vectors, strict=True):
            if not each.answer.done():
                each.answer.set_result((embeddings.model, vector))

    async def _try(self, texts: Sequence[str], *, halvings: int) -> Embeddings:
        """A batch that failed is tried again in halves: it may have been too much for the time, or one text bad."""
        try:
            return await self._embedder.embed(texts)
        except TroupeError:
            if len(texts) == 1 or not halvings:
                raise
        half = len(texts) // 2
        first = await self._try(texts[:half], halvings=halvings - 1)
        second = await self._try(texts[half:], halvings=halvings - 1)
        return Embeddings(first.model, [*first.vectors, *second.vectors])

    def _leave(self, wanted: Sequence[_Wanted]) -> None:
        for each in wanted:
            each.answer.cancel()
        gone = set(map(id, wanted))
        self._waiting = [each for each in self._waiting if id(each) not in gone]


def _stop_unless_wanted(_: object, *, task: "asyncio.Task[None]", batch: Sequence[_Wanted]) -> None:
    if all(each.answer.cancelled() for each in batch):
        task.cancel()
