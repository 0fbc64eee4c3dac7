"""What the model says of the tasks, queues and delays of a partition; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.model import machine
from tests.model.model import Amount, Change, Event, PlannedStep, TaskModel
from tests.model.states import StepState
from tests.support.ready_queue import Message, ReadyQueue

AGENTS: Final = ("red", "blue")
PROJECTS: Final = ("one", "two")
_BATCH: Final = 16

Attempt = tuple[str, str, int]
"""Task, step, number."""


@dataclass(frozen=True)
class Submitted:
    """What was sent to submit a task."""

    request_id: str
    project: str
    priority: int
    plan: tuple[PlannedStep, ...]
    budget: Amount


class ModelledTasks:
    """The tasks by id, their events, the queues by agent, and every attempt that was ever begun."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskModel] = {}
        self.submitted: dict[str, Submitted] = {}
        self.events: dict[str, list[Event]] = {}
        self.queues = {agent: ReadyQueue() for agent in AGENTS}
        self.attempts: list[Attempt] = []
        self.sent: list[tuple[str, Message]] = []

    def running(self) -> list[Attempt]:
        return [each for each in self.attempts if machine.holds(self.tasks[each[0]], *each[1:])]

    def stale(self) -> list[Attempt]:
        return [each for each in self.attempts if not machine.holds(self.tasks[each[0]], *each[1:])]

    def overtaken(self) -> list[Attempt]:
        """Attempts that were lost, and whose step runs again."""
        return [each for each in self.stale() if self.tasks[each[0]].steps[each[1]].state == StepState.RUNNING]

    def outdated(self) -> list[tuple[str, Message]]:
        """Messages of earlier attempts of steps that are ready for another."""
        return [(agent, message) for agent, message in self.sent if self._is_outdated(message)]

    def _is_outdated(self, message: Message) -> bool:
        steps = self.tasks[message.task_id].steps
        entries = (entry.rpartition("@") for entry in message.entries)
        return any(
            steps[step].state == StepState.READY and steps[step].attempt >= int(number) for step, _, number in entries
        )

    def live(self) -> list[str]:
        return [task_id for task_id, task in self.tasks.items() if not task.state.is_final]

    def steps_in(self, state: StepState) -> list[tuple[str, str]]:
        return [(task_id, step) for task_id, task in self.tasks.items() for step in task.in_state(state)]

    @property
    def retries(self) -> list[str]:
        """What waits for the time of its next attempt."""
        return [
            f"r|{task_id}|{step}|{self.tasks[task_id].steps[step].attempt}"
            for task_id, step in self.steps_in(StepState.RETRYING)
        ]

    def delayed(self) -> list[str]:
        return [*(f"d|{task_id}" for task_id in self.live()), *self.retries]

    def idle(self, rooms: Mapping[str, int]) -> Mapping[str, int]:
        return {agent: room for agent, room in rooms.items() if self.queues[agent].is_idle}

    def apply(self, change: Change) -> None:
        task = change.task
        self.tasks[task.task_id] = task
        self.events[task.task_id] += change.events
        self.attempts += [(task.task_id, begun.step, begun.attempt) for begun in change.begun]
        for agent in AGENTS:
            entries = [f"{each.step}@{each.attempt}" for each in change.offered if each.agent == agent]
            for first in range(0, len(entries), _BATCH):
                self._offer(agent, Message(task.task_id, tuple(entries[first : first + _BATCH])))

    def _offer(self, agent: str, message: Message, *, front: bool = False) -> None:
        new = self.submitted[message.task_id]
        self.sent.append((agent, message))
        self.queues[agent].offer(new.project, new.priority, message, front=front)

    def begin_message(self, agent: str, message: Message, room: int) -> list[tuple[Any, ...]]:
        begun, left = list[tuple[Any, ...]](), list[str]()
        for entry in message.entries:
            step, _, number = entry.rpartition("@")
            if len(begun) >= room:
                left.append(entry)
            elif message.task_id in self.tasks:
                change = machine.begin(self.tasks[message.task_id], step, int(number))
                self.apply(change)
                begun += rows(change)
        if left and message.task_id in self.tasks:
            self._offer(agent, Message(message.task_id, tuple(left)), front=True)
        return begun

    def take_waiting(self, agent: str, room: int) -> list[tuple[Any, ...]]:
        begun, queue = list[tuple[Any, ...]](), self.queues[agent]
        while len(begun) < room and (message := queue.receive()):
            begun += self.begin_message(agent, message, room - len(begun))
            queue.refill()
        return begun


def rows(change: Change) -> list[tuple[Any, ...]]:
    """The attempts that were begun, as workers get them."""
    task_id = change.task.task_id
    return [(task_id, each.step, each.attempt, each.held.tokens, each.held.cost_usd_micros) for each in change.begun]
