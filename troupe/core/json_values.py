"""What scalars look like in the JSON of protobuf, and how values are shown in messages."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

SHOWN_CHARS: Final = 80
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_FLOATS: Final = frozenset(("NaN", "Infinity", "-Infinity"))


def shown(value: object) -> str:
    """A value for a message, as JSON writes it, cut where it is long."""
    if isinstance(value, dict | list) and value:
        return "an object" if isinstance(value, dict) else "a list"
    return shown_text(json.dumps(value, ensure_ascii=False), SHOWN_CHARS)


def shown_text(text: str, most: int) -> str:
    """A text for a message: cut where it is long, and without halves of surrogate pairs, which no encoding has."""
    cut = text if len(text) <= most else f"{text[:most]}…"
    return cut.encode(errors="backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Form:
    """What a scalar looks like in JSON."""

    fits: Callable[[Any], bool]
    wanted: str


def is_integer(value: Any) -> bool:
    """Whether it is a whole number, or a string of one."""
    if isinstance(value, str):
        return _INTEGER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value in _FLOATS or _parses(value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parses(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _integers(bits: int, *, signed: bool) -> Form:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return Form(
        lambda value: is_integer(value) and low <= int(value) <= high, f"send a whole number from {low} to {high}"
    )


_TEXT: Final = Form(lambda value: isinstance(value, str), "send a string")
_NUMBER: Final = Form(_is_number, "send a number")
FORMS: Final[Mapping[int, Form]] = {
    FieldDescriptor.CPPTYPE_INT32: _integers(32, signed=True),
    FieldDescriptor.CPPTYPE_INT64: _integers(64, signed=True),
    FieldDescriptor.CPPTYPE_UINT32: _integers(32, signed=False),
    FieldDescriptor.CPPTYPE_UINT64: _integers(64, signed=False),
    FieldDescriptor.CPPTYPE_FLOAT: _NUMBER,
    FieldDescriptor.CPPTYPE_DOUBLE: _NUMBER,
    FieldDescriptor.CPPTYPE_BOOL: Form(lambda value: isinstance(value, bool), "send true or false"),
    FieldDescriptor.CPPTYPE_STRING: _TEXT,
}


def is_text(value: str) -> bool:
    """Whether it can be encoded: JSON can write halves of surrogate pairs, and no encoding has them."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
