"""The one script: its text, put together from the files in `lua/`.

Where they say `STEP.READY` or `T.state`, the number of the contract's enum or the place of the packed value is put in.
All their functions see each other, whatever their order.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from troupe.api.common.v1.error_pb2 import Error, ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import StepState, TaskState
from troupe.core.errors import TroupeError
from troupe.orchestrator.store import fields

WORKER_GROUP: Final = "workers"
# One consumer for all workers: a message is pending only between its delivery and the start of its steps, so it does
# not matter whose it is, and the names of workers that are gone do not pile up.
CONSUMER: Final = "worker"

_WORD: Final = re.compile(r"\b(?P<table>TASK|STEP|EVENT|FAILURE|NAME|T|B|S|X)\.(?P<name>\w+)")

_FUNCTION: Final = re.compile(r"^local function (\w+)\(", re.MULTILINE)

_FAILURES: Final = {
    "budget": TroupeError(
        ErrorReason.ERROR_REASON_BUDGET_EXCEEDED, "the task's budget is spent; submit it again with a larger `budget`"
    ),
    "deadline": TroupeError(
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        "the task's `timeout` has passed; submit it again with a longer one",
        retryable=False,
    ),
    "rejected": TroupeError(
        ErrorReason.ERROR_REASON_APPROVAL_REJECTED,
        "a person rejected the step; the `approval_resolved` event says who and why",
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
    folder = files("troupe.orchestrator.store") / "lua"
    parts = sorted((part for part in folder.iterdir() if part.name.endswith(".lua")), key=lambda part: part.name)
    return _WORD.sub(_value_of, _linked("\n".join(part.read_text() for part in parts)))


def _linked(text: str) -> str:
    """The text with its functions in one table.

    Lua 5.1 looks for each local that a function captures in a list of all captured ones. A hundred functions that
    capture each other made that half of what a call of the script costs.
    """
    names = "|".join(_FUNCTION.findall(text))
    text = _FUNCTION.sub(r"function \1(", text)
    return "local F = {}\n" + re.sub(rf"(?<![.:\w])({names})(?=\()", r"F.\1", text)


@cache
def script_digest() -> str:
    """What EVALSHA calls it by."""
    return hashlib.sha1(script_text().encode(), usedforsecurity=False).hexdigest()


def _value_of(word: "re.Match[str]") -> str:
    """What a name of another place stands for, such as `STEP.READY`: as a value it costs the script nothing."""
    return _words()[word["table"]][word["name"]]


@cache
def _words() -> Mapping[str, Mapping[str, str]]:
    event = {field.name: str(field.number) for field in TaskEvent.DESCRIPTOR.oneofs_by_name["event"].fields}
    return {
        "TASK": {name.removeprefix("TASK_STATE_"): str(number) for name, number in TaskState.items()},
        "STEP": {name.removeprefix("STEP_STATE_"): str(number) for name, number in StepState.items()},
        "EVENT": event,
        "FAILURE": {name: _lua_string(error.to_proto()) for name, error in _FAILURES.items()},
        "NAME": {"group": f"'{WORKER_GROUP}'", "consumer": f"'{CONSUMER}'"},
        "T": _places(fields.TASK),
        "B": _places(fields.TASK_BASE),
        "S": _places(fields.STEP),
        "X": _places(fields.STEP_BASE),
    }


def _places(names: Sequence[str]) -> dict[str, str]:
    return {name: str(place) for place, name in enumerate(names, start=1)}


def _lua_string(error: Error) -> str:
    return "'" + "".join(f"\\{byte:03d}" for byte in error.SerializeToString(deterministic=True)) + "'"
