"""Values that protobuf carries and JSON cannot write: who stores one makes what it stands in unreadable at every door.

The rules of the contracts compare durations and times, and take for granted that they are any:
https://protobuf.dev/reference/protobuf/google.protobuf/#duration
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from troupe.core.errors import FieldViolation

_MAX_DURATION_SECONDS: Final = 315_576_000_000
_TIMESTAMP_SECONDS: Final = range(-62_135_596_800, 253_402_300_800)
_NANOS: Final = 1_000_000_000
_MAX_DEPTH: Final = 32
_STRUCT: Final = "google.protobuf.Struct"
_VALUE: Final = "google.protobuf.Value"
_LIST: Final = "google.protobuf.ListValue"


def unwritable(message: Message) -> list[FieldViolation]:
    """What is wrong with the durations, times and free-form objects in a message."""
    kind: Any = message.DESCRIPTOR
    return [FieldViolation(path.removeprefix("."), problem) for path, problem in _check(message, kind)]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field in which there may be such values."""

    name: str
    kind: Descriptor
    repeated: bool
    of_entries: bool


_Found = Sequence[tuple[str, str]]
"""Paths, which are put together only where something is wrong, and what."""


def _check(message: Any, kind: Descriptor) -> _Found:
    check = _CHECKS.get(kind.full_name)
    if check is not None:
        problem = check(message)
        return [("", problem)] if problem else ()
    found: list[tuple[str, str]] = []
    for field in _fields(kind):
        if field.repeated:
            items = getattr(message, field.name)
            for key in items if field.of_entries else range(len(items)):
                for path, problem in _check(items[key], field.kind):
                    found.append((f".{field.name}[{key!r}]{path}", problem))
        elif message.HasField(field.name):
            for path, problem in _check(getattr(message, field.name), field.kind):
                found.append((f".{field.name}{path}", problem))
    return found


@cache
def _fields(kind: Descriptor) -> Sequence[_Field]:
    """Looked up once: requests are checked at every call."""
    found = []
    for field in kind.fields:
        inner: Any = field.message_type
        if inner is not None and _holds(inner, frozenset((kind,))):
            of_entries = inner.GetOptions().map_entry
            of_item = inner.fields_by_name["value"].message_type if of_entries else inner
            found.append(_Field(field.name, of_item, bool(field.is_repeated), of_entries))
    return found


def _holds(kind: Descriptor, above: frozenset[Descriptor]) -> bool:
    if kind.full_name in _CHECKS or kind in above:
        return kind.full_name in _CHECKS
    inner = [field.message_type for field in kind.fields]
    return any(each is not None and _holds(each, above | {kind}) for each in inner)


def _duration(value: Any) -> str:
    if abs(value.seconds) > _MAX_DURATION_SECONDS or abs(value.nanos) >= _NANOS:
        return f"has {value.seconds} s and {value.nanos} ns; a duration has up to 10,000 years, and under 10^9 ns"
    if value.seconds * value.nanos < 0:
        return f"has {value.seconds} s and {value.nanos} ns; both must have the same sign"
    return ""


def _timestamp(value: Any) -> str:
    if value.seconds in _TIMESTAMP_SECONDS and 0 <= value.nanos < _NANOS:
        return ""
    return f"has {value.seconds} s and {value.nanos} ns; a time is in the years 1 to 9999, and has 0 to 999,999,999 ns"


def _free_form(value: Any) -> str:
    return _value(value, 0)


def _value(value: Any, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return f"is nested more than {_MAX_DEPTH} deep"
    name = value.DESCRIPTOR.full_name
    if name == _STRUCT:
        inner: Any = value.fields.values()
    elif name == _LIST:
        inner = value.values
    else:
        chosen = value.WhichOneof("kind")
        if chosen == "number_value" and not math.isfinite(value.number_value):
            return f"holds the number {value.number_value}, which JSON has not"
        if chosen is None:
            return "holds a value that has no kind"
        inner = [getattr(value, chosen)] if chosen in {"struct_value", "list_value"} else []
    return next(filter(None, (_value(each, depth + 1) for each in inner)), "")


_CHECKS: Final[dict[str, Callable[[Any], str]]] = {
    "google.protobuf.Duration": _duration,
    "google.protobuf.Timestamp": _timestamp,
    _STRUCT: _free_form,
    _VALUE: _free_form,
    _LIST: _free_form,
}
