"""The one script: its text, put together from the files in `lua/`.

Where they say `STEP.READY`, `T.state` or `KEY.leases`, the number of the contract's enum, the place of the row's field
or the key is put in; `T{ state = 1 }` becomes the whole row. All their functions see each other, whatever their order.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from troupe.api.common.v1.error_pb2 import Error, ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import StepState, TaskState
from troupe.core.errors import TroupeError
from troupe.orchestrator.store.schema import REPLIES, ROWS, Key

WORKER_GROUP: Final = "workers"
# One consumer for all workers: a message is pending only between its delivery and the start of its steps, so it does
# not matter whose it is, and the names of workers that are gone do not pile up.
CONSUMER: Final = "worker"

_WORD: Final = re.compile(r"\b(?P<table>TASK|STEP|EVENT|FAILURE|NAME|KEY|COUNT|[TBSX])\.(?P<name>\w+)")
_ROW: Final = re.compile(rf"\b(?P<row>{'|'.join([*ROWS, *REPLIES])})\{{")
# What ends or nests the values of a row; texts are skipped whole.
_MARK: Final = re.compile(r"'(?:[^'\\]|\\.)*'|[{}(),]")
_VALUE: Final = re.compile(r"\s*(?P<name>\w+)\s*=\s*(?P<value>.*\S)\s*", re.DOTALL)

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
    text = "\n".join([_key_functions(), *(part.read_text() for part in parts)])
    return _linked(_WORD.sub(_value_of, _with_rows(text)))


def _key_functions() -> str:
    """The functions that make the keys of which there are several."""
    lines = ["local prefix = KEYS[1]"]
    for key in Key:
        parts = re.split(r"\{(\w+)\}", f":{key.template}")
        if names := parts[1::2]:
            parts[::2] = [f"'{part}'" if part else "" for part in parts[::2]]
            value = " .. ".join(["prefix", *filter(None, parts)])
            lines.append(f"local function {_key_function(key)}({', '.join(names)}) return {value} end")
    return "\n".join(lines)


def _key_function(key: Key) -> str:
    return f"key_{key.name.lower()}"


def _with_rows(text: str) -> str:
    """The text with its rows, `T{ name = value, … }`, by place. What is not named is what the schema says."""
    found = _ROW.search(text)
    if found is None:
        return text
    values, end = _values(text, found.end())
    fields = dict(_named(value) for value in values)
    kind = {**ROWS, **REPLIES}[found["row"]]
    if unknown := fields.keys() - set(kind._fields):
        raise ValueError(f"the script gives a {kind.__name__} {sorted(unknown)}, which the schema does not have")
    literals = [fields.get(name) or _literal(kind._field_defaults[name]) for name in kind._fields]
    return f"{text[: found.start()]}{{ {', '.join(literals)} }}{_with_rows(text[end:])}"


def _values(text: str, start: int) -> tuple[Sequence[str], int]:
    """What stands between the commas of a table whose brace was opened before `start`, and where it ends."""
    values, depth, begin = list[str](), 0, start
    for mark in _MARK.finditer(text, start):
        if mark[0] in "{(":
            depth += 1
        elif mark[0] in "})" and depth:
            depth -= 1
        elif mark[0] in ",}" and not depth:
            values.append(text[begin : mark.start()])
            begin = mark.end()
            if mark[0] == "}":
                break
    return [value for value in values if value.strip()], begin


def _named(value: str) -> tuple[str, str]:
    found = _VALUE.fullmatch(value)
    if found is None:
        raise ValueError(f"the script gives a row {value.strip()!r}, which names no field")
    return found["name"], found["value"]


def _literal(default: Any) -> str:
    """A value of the schema in Lua."""
    return "''" if isinstance(default, str | bytes) else "{}" if isinstance(default, tuple) else str(default)


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
        "KEY": {key.name.lower(): _key(key) for key in Key},
        "COUNT": {name: str(len(kind._fields)) for name, kind in ROWS.items()},
        **{name: _places(kind._fields) for name, kind in ROWS.items()},
    }


def _key(key: Key) -> str:
    """A key in Lua: a value, or the name of the function that makes it."""
    return _key_function(key) if "{" in key.template else f"(prefix .. ':{key.template}')"


def _places(names: Sequence[str]) -> dict[str, str]:
    return {name: str(place) for place, name in enumerate(names, start=1)}


def _lua_string(error: Error) -> str:
    return "'" + "".join(f"\\{byte:03d}" for byte in error.SerializeToString(deterministic=True)) + "'"
