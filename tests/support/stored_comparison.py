"""Compares what Redis holds of a partition with the model."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from tests.model.model import Event, EventKind, StepModel, TaskModel
from tests.model.states import StepState, TaskState
from tests.support.modelled_messages import output_of
from tests.support.modelled_tasks import AGENTS, PROJECTS, ModelledTasks
from tests.support.ready_queue import PRIORITIES, Message
from troupe.api.orchestrator.v1.orchestrator_service_pb2 import WatchTaskResponse
from troupe.orchestrator.redis.client import Command, RedisClient
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key, StepBase, StepRow
from troupe.orchestrator.store.script import WORKER_GROUP
from troupe.orchestrator.store.tasks import StoredTask

PARTITIONS: Final = Partitions(1)
_PREFIX: Final = PARTITIONS.prefix(0)


class Comparison:
    """Leases, delays, counts, queues, and each task with its steps, outputs and events."""

    def __init__(self, redis: RedisClient, model: ModelledTasks) -> None:
        self._redis = redis
        self._model = model

    async def run(self) -> None:
        """Compares everything that Redis holds with the model."""
        shared = await self._redis.execute_all(self._shared_commands())
        leases, due, expiring, opened, waiting, *queues = shared
        assert {member.decode() for member in leases} == {"|".join(map(str, each)) for each in self._model.running()}
        assert {member.decode() for member in due} == set(self._model.delayed())
        live, submitted = self._model.live(), self._model.submitted
        ended = {f"{new.project} {task_id}" for task_id, new in submitted.items() if task_id not in live}
        assert {member.decode() for member in expiring} == ended
        assert _counts(opened) == Counter(submitted[task_id].project for task_id in live)
        assert _counts(waiting) == {agent: each.waiting for agent, each in self._model.queues.items() if each.waiting}
        queued = set[tuple[str, str]]()
        for agent, place in zip(AGENTS, range(0, len(queues), len(queues) // len(AGENTS)), strict=True):
            queued |= self._check_queue(agent, queues[place : place + len(queues) // len(AGENTS)])
        self._check_nothing_ready_is_lost(queued)
        for task_id, (found, frames) in (await self._read_tasks()).items():
            task, stored = self._model.tasks[task_id], StoredTask.of(task_id, found)
            assert [_event(frame) for frame in frames] == [
                (sequence, event) for sequence, event in enumerate(self._model.events[task_id], start=1)
            ]
            self._check_task(task, stored)
            for step in task.order:
                _check_step(task, task.steps[step], *stored.step(step))
            outputs = {name.removesuffix(":out"): value for name, value in found.items() if name.endswith(":out")}
            assert outputs == dict(recorded(self._model, task_id, task.in_state(StepState.COMPLETED)))

    def _shared_commands(self) -> list[Command]:
        prefix = _PREFIX
        commands: list[Command] = [
            ("ZRANGE", f"{prefix}:leases", 0, -1),
            ("ZRANGE", f"{prefix}:due", 0, -1),
            ("ZRANGE", f"{prefix}:expiring", 0, -1),
            ("HGETALL", f"{prefix}:open"),
            ("HGETALL", f"{prefix}:waiting"),
        ]
        for agent in AGENTS:
            stream = PARTITIONS.key(0, Key.READY, agent=agent)
            commands += [("XRANGE", stream, "-", "+"), ("XPENDING", stream, WORKER_GROUP, "-", "+", 1000)]
            commands += [("LRANGE", f"{prefix}:queue:{agent}:{p}:{n}", 0, -1) for p in PROJECTS for n in PRIORITIES]
        return commands

    def _check_queue(self, agent: str, found: Sequence[Any]) -> set[tuple[str, str]]:
        queue, (stream, pending, *lists) = self._model.queues[agent], found
        window = [message(values[1], values[3]) for _, values in stream]
        assert window == queue.window
        queue.learn([message_id for message_id, _ in stream])
        assert {row[0] for row in pending} == queue.pending
        messages = list(window)
        for key, items in zip(((p, n) for p in PROJECTS for n in PRIORITIES), lists, strict=True):
            listed = [message(*item.split(b" ", 1)) for item in items]
            assert listed == list(queue.queues.get(key, deque()))
            messages += listed
        return {(message.task_id, entry) for message in messages for entry in message.entries}

    def _check_nothing_ready_is_lost(self, queued: set[tuple[str, str]]) -> None:
        for task_id in self._model.live():
            task = self._model.tasks[task_id]
            for step in task.in_state(StepState.READY):
                entry = f"{step}@{task.steps[step].attempt + 1}"
                assert step in task.parked or (task_id, entry) in queued, f"{task_id} {entry}"

    async def _read_tasks(self) -> dict[str, tuple[dict[str, bytes], list[bytes]]]:
        commands: list[Command] = []
        for task_id in self._model.tasks:
            key = f"{_PREFIX}:task:{task_id}"
            commands += [("HGETALL", key), ("LRANGE", f"{key}:log", 0, -1)]
        replies = await self._redis.execute_all(commands)
        return {
            task_id: (_mapping(replies[place]), replies[place + 1])
            for task_id, place in zip(self._model.tasks, range(0, len(replies), 2), strict=True)
        }

    def _check_task(self, task: TaskModel, stored: StoredTask) -> None:
        values = {**stored.base._asdict(), **stored.row._asdict()}
        expected: dict[str, Any] = {
            "state": task.state,
            "running": task.running,
            "open": task.open,
            "sequence": len(self._model.events[task.task_id]),
            "tokens": task.used.tokens,
            "cost": task.used.cost_usd_micros,
            "held_tokens": task.held.tokens,
            "held_cost": task.held.cost_usd_micros,
        }
        goes_on = task.state in (TaskState.SUBMITTED, TaskState.RUNNING)
        if task.budget and goes_on:
            expected["ready"] = task.ready
        assert {name: values[name] for name in expected} == expected
        assert stored.order == list(task.order)
        assert stored.fields.get("result", b"").decode() == task.result
        if goes_on:
            assert [each for each in stored.fields.get("parked", b"").decode().split(",") if each] == list(task.parked)


def recorded(model: ModelledTasks, task_id: str, steps: Iterable[str]) -> list[tuple[str, bytes]]:
    """The outputs of steps that completed."""
    models = model.tasks[task_id].steps
    return [(step, output_of((task_id, step, models[step].attempt))) for step in steps]


def message(task_id: bytes, entries: bytes) -> Message:
    """A message of a queue."""
    return Message(task_id.decode(), tuple(entries.decode().split(",")))


def _check_step(task: TaskModel, step: StepModel, row: StepRow, base: StepBase) -> None:
    values = {**base._asdict(), **row._asdict()}
    expected: dict[str, Any] = {
        "state": step.state,
        "attempt": step.attempt,
        "events": step.reported,
        "failures": step.failures,
        "lost": step.lost,
        "decision": step.decision,
        "delegated": ",".join(step.delegated),
        "parent": step.parent,
        "depth": step.depth,
        "agent": step.planned.agent,
    }
    if step.state in (StepState.PENDING, StepState.DELEGATING) and task.state != TaskState.CANCELLING:
        expected["left"] = task.waiting_for(step.planned.step_id)
    if not task.state.is_final:
        expected |= {"held_tokens": step.held.tokens, "held_cost": step.held.cost_usd_micros}
    assert {name: values[name] for name in expected} == expected, step.planned.step_id
    assert values["input_tokens"] + values["output_tokens"] == step.used.tokens
    assert values["cost"] == step.used.cost_usd_micros


def _mapping(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _counts(flat: Sequence[bytes]) -> dict[str, int]:
    return {name: int(count) for name, count in _mapping(flat).items() if int(count)}


@lru_cache(maxsize=10_000)
def _event(frame: bytes) -> tuple[int, Event]:
    (event,) = WatchTaskResponse.FromString(frame).events
    name = event.WhichOneof("event")
    assert name
    kind = EventKind(name)
    body = getattr(event, kind.value)
    step = getattr(body, "step_id", "") or getattr(body, "parent_step_id", "")
    return event.sequence, Event(kind, step, getattr(body, "attempt", 0), getattr(body, "will_retry", False))
