"""Admission: a task is refused while too many have not ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.orchestrator import metrics
from troupe.orchestrator.store.tasks import TaskStore

_RETRY: Final = timedelta(seconds=1)
_FRESH_SECONDS: Final = 0.2
_NEAR: Final = 0.9


@dataclass(slots=True)
class _Placed:
    """Tasks that were let in, and which of them are being stored. The store may have counted those or not."""

    begun: int = 0
    storing: set[asyncio.Future[None]] = field(default_factory=set)

    @property
    def stored(self) -> int:
        """Those that a count which begins now will find."""
        return self.begun - len(self.storing)

    @contextmanager
    def storing_one(self, stored: asyncio.Future[None]) -> Iterator[None]:
        """One more is stored inside the block."""
        self.begun += 1
        self.storing.add(stored)
        try:
            yield
        finally:
            self.storing.discard(stored)


@dataclass(slots=True)
class _Counted:
    """What the store has counted, and how many placed tasks it had for certain counted then."""

    tasks: int = 0
    placed: int = 0

    def at_most(self, placed: _Placed) -> int:
        """Tasks that have not ended, those included that were placed since."""
        return self.tasks + placed.begun - self.placed


@dataclass(slots=True)
class _Project:
    in_all: _Counted = field(default_factory=_Counted)
    own: _Counted = field(default_factory=_Counted)
    placed: _Placed = field(default_factory=_Placed)
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
        self._projects: dict[str, _Project] = {}
        self._placed = _Placed()
        self._one_by_one = asyncio.Lock()

    @asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """A place in a project for one more task, which is stored inside the block.

        Raises:
            TroupeError: QUOTA_EXCEEDED, with the bound that is reached.
        """
        project = self._projects.setdefault(name, _Project())
        if time.monotonic() - project.counted_at > _FRESH_SECONDS:
            await self._count(name, project)
        if not self._is_near(project):
            with self._storing_one(project):
                yield
            return
        async with self._one_by_one:
            if self._placed.storing:
                await asyncio.wait(set(self._placed.storing))
            await self._count(name, project)
            self._check(name, project)
            with self._storing_one(project):
                yield

    @contextmanager
    def _storing_one(self, project: _Project) -> Iterator[None]:
        stored = asyncio.get_running_loop().create_future()
        with self._placed.storing_one(stored), project.placed.storing_one(stored):
            try:
                yield
            finally:
                stored.set_result(None)

    async def _count(self, name: str, project: _Project) -> None:
        # What is stored while the store counts may be in its answer or not; it is taken for not.
        placed_in_all, placed = self._placed.stored, project.placed.stored
        in_all, own = await self._tasks.open_tasks(name)
        project.in_all, project.own = _Counted(in_all, placed_in_all), _Counted(own, placed)
        project.counted_at = time.monotonic()

    def _is_near(self, project: _Project) -> bool:
        return (
            project.in_all.at_most(self._placed) >= _NEAR * self._max_open - 1
            or project.own.at_most(project.placed) >= _NEAR * self._max_open_per_project - 1
        )

    def _check(self, name: str, project: _Project) -> None:
        if project.in_all.at_most(self._placed) >= self._max_open:
            metrics.ADMISSION_REFUSED.labels("deployment").inc()
            raise _full("the deployment", self._max_open)
        if project.own.at_most(project.placed) >= self._max_open_per_project:
            metrics.ADMISSION_REFUSED.labels("project").inc()
            raise _full(f"project `{name}`", self._max_open_per_project)


def _full(subject: str, bound: int) -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_QUOTA_EXCEEDED,
        f"{subject} has {bound} tasks that have not ended, and no more are taken; try again when some have",
        metadata={"subject": subject.replace("`", "")},
        retry_delay=_RETRY,
    )
