"""Which tasks a list is to show. The server knows states; the rest is looked for here, page by page."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from troupe.api.orchestrator.v1.task_pb2 import Task, TaskState
from troupe.client import TroupeClient

_LARGEST_PAGE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a task must be, all of it."""

    states: "Sequence[TaskState.ValueType]" = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, task: Task) -> bool:
        """Whether a task that is in one of the states is wanted."""
        created = task.create_time.ToDatetime(UTC)
        return (
            all(task.spec.labels.get(key) == value for key, value in self.labels.items())
            and (self.since is None or created >= self.since)
            and (self.until is None or created <= self.until)
        )

    def ends_before(self, task: Task) -> bool:
        """Whether it, and so all that follow in a list of the newest first, is too old."""
        return self.since is not None and task.create_time.ToDatetime(UTC) < self.since

    @property
    def is_looked_for_here(self) -> bool:
        """Whether some of what the server sends is not wanted."""
        return bool(self.labels) or self.since is not None or self.until is not None


async def newest(client: TroupeClient, limit: int, wanted: Wanted) -> list[Task]:
    """The newest of the tasks that are wanted."""
    found: list[Task] = []
    async with aclosing(_listed(client, limit, wanted)) as tasks:
        async for task in tasks:
            if len(found) == limit or wanted.ends_before(task):
                break
            if wanted.takes(task):
                found.append(task)
    return found


async def _listed(client: TroupeClient, limit: int, wanted: Wanted) -> AsyncGenerator[Task]:
    """Tasks in some states, newest first."""
    page_size = _LARGEST_PAGE if wanted.is_looked_for_here else min(_LARGEST_PAGE, limit)
    token = ""
    while True:
        page = await client.list_tasks(page_size=page_size, page_token=token, states=wanted.states)
        for task in page.tasks:
            yield task
        token = page.next_page_token
        if not token:
            return
