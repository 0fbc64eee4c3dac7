"""Admission: a task is refused while too many have not ended."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from orchestrator import metrics
from orchestrator.store.tasks import TaskStore
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError

_RETRY: Final = timedelta(seconds=1)
_FRESH_SECONDS: Final = 0.2
_NEAR: Final = 0.9


@dataclass(slots=True)
class _Counts:
    """Tasks that had not ended when they were counted, and what was accepted since."""

    in_all: int = 0
    of_project: int = 0
    accepted: int = 0
    counted_at: float = float("-inf")


class Admission:
    """Bounds the tasks that have not ended, in all and of each project.

    Far from the bounds a count serves for a moment; near them tasks are counted and stored one after the other. One
    orchestrator so keeps the bounds; several may overshoot by what they accept in the same moment.
    """

    def __init__(self, *, tasks: TaskStore, max_open: int, max_open_per_project: int) -> None:
        self._tasks = tasks
        self._max_open = max_open
        self._max_open_per_project = max_open_per_project
        self._counts: dict[str, _Counts] = {}
        self._storing = 0
        self._one_by_one = asyncio.Lock()

    @asynccontextmanager
    async def place(self, project: str) -> AsyncIterator[None]:
        """A place for one more task, which is stored inside the block.

        Raises:
            TroupeError: QUOTA_EXCEEDED, with the bound that is reached.
        """
        counts = self._counts.setdefault(project, _Counts())
        if time.monotonic() - counts.counted_at > _FRESH_SECONDS:
            await self._count(project, counts)
        if self._is_near(counts):
            async with self._one_by_one:
                await self._count(project, counts)
                self._check(project, counts)
                yield
            return
        counts.accepted += 1
        self._storing += 1
        try:
            yield
        finally:
            self._storing -= 1

    async def _count(self, project: str, counts: _Counts) -> None:
        counts.in_all, counts.of_project = await self._tasks.open_tasks(project)
        counts.accepted, counts.counted_at = self._storing, time.monotonic()

    def _is_near(self, counts: _Counts) -> bool:
        return (
            counts.in_all + counts.accepted >= _NEAR * self._max_open - 1
            or counts.of_project + counts.accepted >= _NEAR * self._max_open_per_project - 1
        )

    def _check(self, project: str, counts: _Counts) -> None:
        if counts.in_all + counts.accepted >= self._max_open:
            metrics.ADMISSION_REFUSED.labels("deployment").inc()
            raise _full("the deployment", self._max_open)
        if counts.of_project + counts.accepted >= self._max_open_per_project:
            metrics.ADMISSION_REFUSED.labels("project").inc()
            raise _full(f"project `{project}`", self._max_open_per_project)


def _full(subject: str, bound: int) -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_QUOTA_EXCEEDED,
        f"{subject} has {bound} tasks that have not ended, and no more are taken; try again when some have",
        metadata={"subject": subject.replace("`", "")},
        retry_delay=_RETRY,
    )
