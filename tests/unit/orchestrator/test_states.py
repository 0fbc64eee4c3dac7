"""The tables of states and transitions."""

from enum import IntEnum
from typing import Any

import pytest

from tests.model.states import (
    FINAL_STEP_STATES,
    FINAL_TASK_STATES,
    STEP_TRANSITIONS,
    TASK_TRANSITIONS,
    StepState,
    TaskState,
)
from troupe.api.orchestrator.v1 import task_pb2


@pytest.mark.parametrize(
    ("states", "contract", "prefix"),
    [(TaskState, task_pb2.TaskState, "TASK_STATE_"), (StepState, task_pb2.StepState, "STEP_STATE_")],
    ids=["task", "step"],
)
def test_names_and_numbers_are_the_contract_s(states: type[IntEnum], contract: Any, prefix: str) -> None:
    assert {f"{prefix}{state.name}": state.value for state in states} | {f"{prefix}UNSPECIFIED": 0} == dict(
        contract.items()
    )


def test_the_script_compares_states_by_their_order() -> None:
    assert frozenset(state for state in StepState if state >= StepState.COMPLETED) == FINAL_STEP_STATES
    assert frozenset(state for state in TaskState if state > TaskState.CANCELLING) == FINAL_TASK_STATES


def test_every_state_has_its_ways_and_can_be_reached() -> None:
    assert set(TASK_TRANSITIONS) == set(TaskState)
    assert set(STEP_TRANSITIONS) == set(StepState)
    assert set().union(*TASK_TRANSITIONS.values()) == set(TaskState) - {TaskState.SUBMITTED}
    assert set().union(*STEP_TRANSITIONS.values()) == set(StepState)


def test_what_completed_stays() -> None:
    assert not TASK_TRANSITIONS[TaskState.COMPLETED]
    assert not TASK_TRANSITIONS[TaskState.CANCELLED]
    assert not STEP_TRANSITIONS[StepState.COMPLETED]


def test_only_a_task_that_failed_leaves_a_final_state() -> None:
    assert {state for state in FINAL_TASK_STATES if TASK_TRANSITIONS[state]} == {TaskState.FAILED}
