"""Messages made from their descriptors: most fields plausible, some at the edges of what their types can hold."""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from google.protobuf import struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from troupe.api.buf.validate import validate_pb2

_ODDNESS: Final = (0.0, 0.05, 0.2, 0.6)
_MAX_DEPTH: Final = 6
_MAX_VALUES: Final = 3_000  # of a message: a thousand lists of a thousand values would ask for nothing but time
_INTEGERS: Final = (
    -(2**63), 2**63 - 1, 2**63 - 2, -(2**31), 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**62, -1, 0, 1, 2,
    999, 10**12, 10**15,
)  # fmt: skip
_FLOATS: Final = (math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, -0.0, 1e-9, 2.0, -1.0)
_TEXTS: Final = (
    "", " ", "\x00", "a\x00b", "\ufffe", "\U0010ffff", "\u202eabc", "e\u0301", "\r\n", "\t", "\x1b[2J",
    "../../etc/passwd",
    "{p01}", "{", "%s%n", '" or 1 == 1 or "', "' ; --", "\\", "\\u0000", "[]", "null", "*",
    "01m7ypewytdnae6hkykxn09ezm07",
    "-1", "9223372036854775807", "W10", "W10=", "x" * 129, "é" * 200, "日本語" * 30, "x" * 5_000, "http://[::1", "file://",
    "https://example.com:99999/x", "http://a@b/", "w" + "\u0301" * 300,
)  # fmt: skip
_LONG: Final = ("x" * 70_000, "\x00" * 2_000, "é" * 140_000)
_SECONDS: Final = (-(2**63), 2**63 - 1, -315_576_000_001, 315_576_000_001, -62_135_596_801, 253_402_300_800, -1, 0, 1)
_NANOS: Final = (-(2**31), 2**31 - 1, -999_999_999, 999_999_999, -1, 0, 1, 10**9)

Plausible = Mapping[str, Sequence[Any]]
"""Values by the names of fields."""


class Messages:
    """Draws messages; the same `Random` draws the same ones."""

    def __init__(self, random: Random, plausible: Plausible) -> None:
        self.random = random
        self._plausible = plausible
        self._odd = 0.0
        self._left = _MAX_VALUES

    def draw(self, kind: type[Message]) -> Message:
        """A message, somewhere between plausible and odd."""
        self._odd = self.random.choice(_ODDNESS)
        self._left = _MAX_VALUES
        message = kind()
        self._fill(message, 0)
        return message

    def _fill(self, message: Message, depth: int) -> None:
        if _fill_well_known(message, self):
            return
        kind: Any = message.DESCRIPTOR
        for field in kind.fields:
            wanted = _rules(field).required or field.name in self._plausible
            if self.random.random() < (0.9 if wanted else 0.4) and depth < _MAX_DEPTH:
                self._set(message, field, depth)

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        target: Any = getattr(message, field.name) if field.is_repeated or field.message_type is not None else None
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for _ in range(self._count()):
                self._add_entry(target, field.message_type, depth)
        elif field.message_type is not None:
            for inner in [target.add() for _ in range(self._count())] if field.is_repeated else [target]:
                inner.SetInParent()
                self._fill(inner, depth + 1)
        elif field.is_repeated:
            target.extend([self._scalar(field) for _ in range(self._count())])
        else:
            setattr(message, field.name, self._scalar(field))

    def _add_entry(self, target: Any, entry: Descriptor, depth: int) -> None:
        key = self._scalar(entry.fields_by_name["key"])
        value = entry.fields_by_name["value"]
        if value.message_type is not None:
            self._fill(target[key], depth + 1)
        else:
            target[key] = self._scalar(value)

    def _count(self) -> int:
        wanted = self.random.choice((1, 1, 2))
        if self.is_odd:
            wanted = self.random.choice((0, 1, 17, 65, 1_001) if self.random.random() < 0.3 else (0, 1, 2, 3))
        count = min(wanted, self._left)
        self._left -= count
        return count

    @property
    def is_odd(self) -> bool:
        """Whether the next value shall be one at an edge."""
        return self.random.random() < self._odd

    def _scalar(self, field: FieldDescriptor) -> Any:
        if not self.is_odd and field.name in self._plausible:
            return self.random.choice(self._plausible[field.name])
        return _DRAWN[field.cpp_type](self, field)

    def integer(self, field: FieldDescriptor) -> int:
        """Of a field's size."""
        bits, signed = _SIZES[field.cpp_type]
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        value = self.random.choice(_INTEGERS) if self.is_odd else self.random.randint(0, 5)
        return max(low, min(high, value))

    def floating(self, _field: FieldDescriptor) -> float:
        """Numbers that are none too."""
        return self.random.choice(_FLOATS) if self.is_odd else self.random.random()

    def enum(self, field: FieldDescriptor) -> int:
        """A value, known or not."""
        known: Any = field.enum_type
        return (
            self.random.choice((-1, 99, 2**31 - 1, -(2**31)))
            if self.is_odd
            else self.random.choice(known.values).number
        )

    def text(self, field: FieldDescriptor) -> Any:
        """Text, or bytes for a field of bytes."""
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self.random.randbytes(self.random.choice((0, 1, 200)))
        if not self.is_odd:
            return self.random.choice(("a", "b-1", "some words", "ü"))
        if self.random.random() < 0.02 and self._left > 100:
            self._left -= 100
            return self.random.choice(_LONG)
        return self.random.choice(_TEXTS)

    def boolean(self, _field: FieldDescriptor) -> bool:
        """Either."""
        return self.random.random() < 0.3

    def time(self) -> tuple[int, int]:
        """Seconds and nanoseconds."""
        if self.is_odd:
            return self.random.choice(_SECONDS), self.random.choice(_NANOS)
        return self.random.randint(1, 60), 0

    def json_value(self, depth: int) -> Any:
        """A value of a `Struct`."""
        if self.is_odd:
            return self.random.choice((*_FLOATS, *_TEXTS))
        if depth == 0:
            return self.random.choice((None, True, 1.5, "x"))
        inner = [self.json_value(depth - 1) for _ in range(self.random.randint(0, 2))]
        return inner if self.random.random() < 0.5 else {str(place): value for place, value in enumerate(inner)}


def _fill_well_known(message: Message, messages: Messages) -> bool:
    name = message.DESCRIPTOR.full_name
    if name in {"google.protobuf.Duration", "google.protobuf.Timestamp"}:
        each: Any = message
        each.seconds, each.nanos = messages.time()
    elif isinstance(message, struct_pb2.Struct):
        message.update({"type": messages.json_value(3)})
        if messages.is_odd:
            nest(message, messages.random.choice((5, 40, 60)))
    return name.startswith("google.protobuf.")


def nest(message: struct_pb2.Struct, depth: int) -> None:
    """Puts objects into each other. Protobuf itself takes up to a hundred messages in each other."""
    for _ in range(depth // 2):
        message = message.fields["x"].struct_value


def _rules(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


_SIZES: Final = {
    FieldDescriptor.CPPTYPE_INT32: (32, True),
    FieldDescriptor.CPPTYPE_INT64: (64, True),
    FieldDescriptor.CPPTYPE_UINT32: (32, False),
    FieldDescriptor.CPPTYPE_UINT64: (64, False),
}
_DRAWN: Final[Mapping[int, Callable[[Messages, FieldDescriptor], Any]]] = {
    **dict.fromkeys(_SIZES, Messages.integer),
    FieldDescriptor.CPPTYPE_DOUBLE: Messages.floating,
    FieldDescriptor.CPPTYPE_FLOAT: Messages.floating,
    FieldDescriptor.CPPTYPE_BOOL: Messages.boolean,
    FieldDescriptor.CPPTYPE_ENUM: Messages.enum,
    FieldDescriptor.CPPTYPE_STRING: Messages.text,
}
