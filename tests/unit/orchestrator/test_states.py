"""The states of the domain are those of the contract."""

from orchestrator.domain import states
from troupe.api.orchestrator.v1.task_pb2 import StepState, TaskState


def test_numbers_and_names_are_the_contract_s() -> None:
    assert {f"TASK_STATE_{state.name}": state.value for state in states.TaskState} == {
        name: number for name, number in TaskState.items() if number
    }
    assert {f"STEP_STATE_{state.name}": state.value for state in states.StepState} == {
        name: number for name, number in StepState.items() if number
    }


def test_what_is_terminal_has_no_way_out() -> None:
    assert all(state.terminal != bool(ways) for state, ways in states.TASK_TRANSITIONS.items())
    assert all(state.terminal != bool(ways) for state, ways in states.STEP_TRANSITIONS.items())
