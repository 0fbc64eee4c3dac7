"""The one script: its text, put together from the files in `lua/`, with the numbers of the contracts' enums."""

from functools import cache
from importlib.resources import files
from typing import Any, Final

from troupe.api.common.v1.error_pb2 import Error, ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import StepState, TaskState
from troupe.core.errors import TroupeError

WORKER_GROUP: Final = "workers"

_FAILURES: Final = {
    "budget": TroupeError(
        ErrorReason.ERROR_REASON_BUDGET_EXCEEDED, "the task's budget is spent; submit it again with a larger `budget`"
    ),
    "deadline": TroupeError(
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        "the task's `timeout` has passed; submit it again with a longer one",
        retryable=False,
    ),
    "lease": TroupeError(
        ErrorReason.ERROR_REASON_LEASE_EXPIRED,
        "worker after worker died or stood still while it held this step; the logs of the workers say why",
        retryable=False,
    ),
}


@cache
def script_text() -> str:
    """The script's text."""
    folder = files("orchestrator.store") / "lua"
    parts = sorted((part for part in folder.iterdir() if part.name.endswith(".lua")), key=lambda part: part.name)
    return "\n".join([_constants(), *(part.read_text() for part in parts)])


def _constants() -> str:
    task = {name.removeprefix("TASK_STATE_"): number for name, number in TaskState.items()}
    step = {name.removeprefix("STEP_STATE_"): number for name, number in StepState.items()}
    event = {field.name: field.number for field in TaskEvent.DESCRIPTOR.oneofs_by_name["event"].fields}
    failures = {name: _lua_string(error.to_proto()) for name, error in _FAILURES.items()}
    tables: dict[str, dict[str, Any]] = {"TASK": task, "STEP": step, "EVENT": event, "FAILURE": failures}
    lines = [
        f"local {name} = {{ {', '.join(f'{k} = {v}' for k, v in table.items())} }}" for name, table in tables.items()
    ]
    return "\n".join([*lines, f"local GROUP = '{WORKER_GROUP}'"])


def _lua_string(error: Error) -> str:
    return "'" + "".join(f"\\{byte:03d}" for byte in error.SerializeToString(deterministic=True)) + "'"
