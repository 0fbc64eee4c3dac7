"""Properties of the state machine of a task, by random operations on the model alone."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model import machine
from tests.model.model import (
    NOTHING,
    TERMINAL_EVENTS,
    Amount,
    Change,
    Event,
    EventKind,
    Outcome,
    PlannedStep,
    TaskModel,
)
from tests.model.operation import APPROVE, REJECT, IllegalTransitionError, Work
from tests.model.states import STEP_TRANSITIONS, TASK_TRANSITIONS, StepState, TaskState
from troupe.orchestrator.domain.delegation import DelegationBounds

BOUNDS = DelegationBounds(max_depth=2, max_steps=9)
BUDGETS = st.sampled_from([NOTHING, Amount(1), Amount(4), Amount(9, 6)])
USED = st.lists(st.builds(Amount, st.integers(0, 3), st.integers(0, 2)), max_size=3)
PLAN = (
    PlannedStep("root", "a"),
    PlannedStep("asked", "b", (), needs_approval=True),
    PlannedStep("left", "a", ("root",)),
    PlannedStep("right", "b", ("root", "asked")),
    PlannedStep("last", "a", ("left", "right")),
)

Operation = Callable[[TaskModel, st.DataObject], Change]


def _pick(task: TaskModel, data: st.DataObject) -> tuple[str, int]:
    """A step and an attempt of it, the newest or one close by."""
    step = data.draw(st.sampled_from(task.order))
    return step, task.steps[step].attempt + data.draw(st.sampled_from([0, 0, 0, 0, -1, 1]))


def _added(task: TaskModel, step: str) -> Sequence[PlannedStep]:
    first = f"{step}.{len(task.steps[step].delegated)}"
    return (PlannedStep(first, "a"), PlannedStep(f"{first}x", "b", (first,)))


ROOMS = {"a": 1, "b": 1}
OPERATIONS: dict[str, Operation] = {
    "begin": lambda task, data: machine.begin(
        task, step := data.draw(st.sampled_from(task.order)), task.steps[step].attempt + 1
    ),
    "complete": lambda task, data: machine.complete(task, *_pick(task, data), rooms=ROOMS),
    "complete, no room": lambda task, data: machine.complete(task, *_pick(task, data), rooms={}),
    "fail": lambda task, data: machine.fail(task, *_pick(task, data), retry=False, rooms=ROOMS),
    "fail, retry": lambda task, data: machine.fail(task, *_pick(task, data), retry=True, rooms=ROOMS),
    "hand back": lambda task, data: machine.hand_back(task, *_pick(task, data)),
    "expire": lambda task, data: machine.expire(task, *_pick(task, data), max_lost_leases=2),
    "retry due": lambda task, data: machine.retry_due(task, *_pick(task, data)),
    "approve": lambda task, data: machine.resolve(task, _pick(task, data)[0], decision=APPROVE),
    "reject": lambda task, data: machine.resolve(task, _pick(task, data)[0], decision=REJECT),
    "cancel": lambda task, _: machine.cancel(task, after_step=False),
    "cancel after step": lambda task, _: machine.cancel(task, after_step=True),
    "deadline": lambda task, _: machine.deadline(task),
    "retry": lambda task, _: machine.retry(task, request_id=""),
}


def _delegate(task: TaskModel, data: st.DataObject) -> Change:
    step, attempt = _pick(task, data)
    return machine.delegate(task, step, attempt, plan=_added(task, step), bounds=BOUNDS, rooms=ROOMS)


def _report(task: TaskModel, data: st.DataObject) -> Change:
    step, attempt = _pick(task, data)
    reports = [(EventKind.USAGE_REPORTED, used) for used in data.draw(USED)]
    return machine.report(task, step, attempt, first=task.steps[step].reported, reports=reports)


OPERATIONS |= {"delegate": _delegate, "report": _report}
# Those that let a task go on come more often than those that end it.
NAMES = [*OPERATIONS, *("begin", "complete", "complete, no room", "delegate", "report", "approve") * 3]


def run(data: st.DataObject, budget: Amount) -> list[Change]:
    """A task's life: what each operation did."""
    changes = [machine.submit("t", PLAN, budget=budget)]
    for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=40)):
        changes.append(OPERATIONS[name](changes[-1].task, data))
    return changes


State = TypeVar("State")


def _reachable(table: Mapping[State, frozenset[State]], state: State) -> set[State]:
    found = {state}
    while more := set().union(*(table[each] for each in found)) - found:
        found |= more
    return found


@given(st.data(), BUDGETS)
def test_every_way_is_in_the_tables(data: st.DataObject, budget: Amount) -> None:
    """The machine itself raises on any other; here the net effect of an operation is looked at, of several ways."""
    changes = run(data, budget)
    for before, after in pairwise(changes):
        assert after.task.state in _reachable(TASK_TRANSITIONS, before.task.state)
        for step, was in before.task.steps.items():
            assert after.task.steps[step].state in _reachable(STEP_TRANSITIONS, was.state)
            assert after.task.steps[step].attempt >= was.attempt


@given(st.data(), BUDGETS)
def test_a_terminal_event_stands_last_exactly_while_the_task_is_over(data: st.DataObject, budget: Amount) -> None:
    events = list[Event]()
    for change in run(data, budget):
        events += change.events
        assert (events[-1].kind in TERMINAL_EVENTS) == change.task.state.is_final
        kinds = [event.kind for event in events]
        ends = sum(kind in TERMINAL_EVENTS for kind in kinds)
        assert ends == kinds.count(EventKind.TASK_RETRIED) + change.task.state.is_final


@given(st.data(), BUDGETS)
def test_a_step_completes_once_and_never_again(data: st.DataObject, budget: Amount) -> None:
    changes = run(data, budget)
    completed = [event.step for change in changes for event in change.events if event.kind == EventKind.STEP_COMPLETED]
    assert len(completed) == len(set(completed))
    assert sorted(completed) == sorted(changes[-1].task.in_state(StepState.COMPLETED))


@given(st.data(), BUDGETS)
def test_what_comes_too_late_changes_nothing(data: st.DataObject, budget: Amount) -> None:
    changes = run(data, budget)
    for before, after in pairwise(changes):
        if after.outcome in {Outcome.LOST, Outcome.REFUSED, Outcome.NOTHING, Outcome.NOT_WAITING}:
            assert after.task == before.task
            assert (after.events, after.begun, after.offered) == ((), (), ())


@given(st.data(), BUDGETS)
def test_a_task_that_is_over_has_no_step_under_way(data: st.DataObject, budget: Amount) -> None:
    for change in run(data, budget):
        task = change.task
        if task.state.is_final:
            assert all(step.state.is_final for step in task.steps.values())
            assert not task.held
            assert not change.offered
        assert (task.state == TaskState.COMPLETED) == (task.open == 0)


@given(st.data(), BUDGETS)
def test_no_more_is_held_than_the_budget_has_left(data: st.DataObject, budget: Amount) -> None:
    for change in run(data, budget):
        task = change.task
        if task.state.is_final:
            continue
        assert not task.used.exceeds(budget)
        assert min(task.held.tokens, task.held.cost_usd_micros) >= 0
        assert not task.held.exceeds(budget)


@given(st.data(), BUDGETS)
def test_every_task_can_end(data: st.DataObject, budget: Amount) -> None:
    """From wherever it is, with workers that do their work: whatever is ready was queued or waits for budget."""
    task, queue = TaskModel("t"), set[tuple[str, int]]()
    for change in run(data, budget):
        task = change.task
        queue |= {(each.step, each.attempt) for each in change.offered}
    for _ in range(100):
        if task.state.is_final:
            break
        task = _go_on(task, queue)
    assert task.state.is_final


def _go_on(task: TaskModel, queue: set[tuple[str, int]]) -> TaskModel:
    def applied(change: Change) -> TaskModel:
        queue.update((each.step, each.attempt) for each in change.offered)
        return change.task

    for step in task.in_state(StepState.AWAITING_APPROVAL):
        task = applied(machine.resolve(task, step, decision=APPROVE))
    for step in task.in_state(StepState.RETRYING):
        task = applied(machine.retry_due(task, step, task.steps[step].attempt))
    for step, attempt in sorted(queue):
        task = applied(machine.begin(task, step, attempt))
    queue.clear()
    for step in task.in_state(StepState.RUNNING):
        task = applied(machine.complete(task, step, task.steps[step].attempt, rooms={}))
    return task


def test_a_message_that_comes_twice_parks_a_step_once() -> None:
    plan = (PlannedStep("holder", "a"), PlannedStep("waiter", "a"))
    task = machine.begin(machine.submit("t", plan, budget=Amount(1)).task, "holder", 1).task
    parked = machine.begin(task, "waiter", 1).task
    assert parked.parked == ("waiter",)
    again = machine.begin(parked, "waiter", 1)
    assert (again.task, again.outcome) == (parked, Outcome.NOTHING)
    assert [each.step for each in machine.complete(parked, "holder", 1, rooms={"a": 2}).begun] == ["waiter"]


def test_a_worker_that_dies_again_and_again_fails_the_task() -> None:
    task = machine.submit("t", PLAN[:1], budget=NOTHING).task
    for attempt in (1, 2):
        task = machine.begin(task, "root", attempt).task
        task = machine.expire(task, "root", attempt, max_lost_leases=2).task
    assert task.state == TaskState.FAILED
    assert task.steps["root"].state == StepState.FAILED


def test_a_way_that_is_not_in_the_tables_is_a_defect() -> None:
    work = Work(machine.submit("t", PLAN, budget=NOTHING).task)
    with pytest.raises(IllegalTransitionError, match="SUBMITTED to COMPLETED"):
        work.set_state(TaskState.COMPLETED)
    with pytest.raises(IllegalTransitionError, match="`root`: READY to COMPLETED"):
        work.edit("root", state=StepState.COMPLETED)
