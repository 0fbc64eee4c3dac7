"""A model of an agent's queue in one partition: the window that workers read, and what waits behind it."""

from collections import deque
from dataclasses import dataclass, field

WINDOW = 16
PRIORITIES = (3, 2, 1)


@dataclass(frozen=True)
class Message:
    """A message of a ready stream: a task and its `step@attempt` entries."""

    task_id: str
    entries: tuple[str, ...]


@dataclass
class ReadyQueue:
    """The window holds messages in order; `ids` are their ids in Redis, as far as they are known."""

    window: list[Message] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    pending: set[bytes] = field(default_factory=set)
    queues: dict[tuple[str, int], deque[Message]] = field(default_factory=dict)
    turns: dict[str, float] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        return sum(map(len, self.queues.values()))

    @property
    def is_idle(self) -> bool:
        return not self.window and not self.waiting

    def learn(self, ids: list[bytes]) -> None:
        self.ids = ids

    def offer(self, project: str, priority: int, message: Message, *, front: bool = False) -> None:
        if not self.waiting and len(self.window) < WINDOW:
            self.window.append(message)
            return
        queue = self.queues.setdefault((project, priority), deque())
        (queue.appendleft if front else queue.append)(message)
        self.turns.setdefault(project, min(self.turns.values(), default=0))

    def refill(self) -> None:
        while self.waiting and len(self.window) < WINDOW:
            self.window.append(self._pop())

    def settle(self, message_id: bytes) -> None:
        self.pending.discard(message_id)
        if message_id in self.ids:
            place = self.ids.index(message_id)
            del self.ids[place], self.window[place]

    def receive(self) -> Message | None:
        """Takes the oldest message of the window."""
        if not self.window:
            return None
        message = self.window.pop(0)
        if self.ids:  # none is known of a message that was sent just now
            self.pending.discard(self.ids.pop(0))
        return message

    def redeliver(self) -> int:
        """Every delivered message is sent again."""
        again = sorted(self.pending, key=_order)
        for message_id in again:
            message = self.window[self.ids.index(message_id)]
            self.settle(message_id)
            self.window.append(message)
        return len(again)

    def _pop(self) -> Message:
        project = min(self.turns, key=lambda name: (self.turns[name], name))
        queue = next(queue for priority in PRIORITIES if (queue := self.queues.get((project, priority))))
        message = queue.popleft()
        if any(self.queues.get((project, priority)) for priority in PRIORITIES):
            self.turns[project] += 1
        else:
            del self.turns[project]
        return message


def _order(message_id: bytes) -> tuple[int, int]:
    milliseconds, _, number = message_id.partition(b"-")
    return int(milliseconds), int(number)
