"""Why bytes are no protobuf message of a kind. Decoders only say that they are none.

https://protobuf.dev/programming-guides/encoding/
"""

from collections import Counter
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import FieldViolation, TroupeError

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT: Final = 10
_MAX_DEPTH: Final = 100


def undecodable(data: bytes, kind: Descriptor | None) -> TroupeError:
    """The error for a request that is no message of its kind; it names the field where one is to blame."""
    name = f"a `{kind.full_name}`" if kind is not None else "a message of its method"
    fault = _find(data, kind) if kind is not None else None
    if fault is None:
        problem = f"its {len(data)} bytes cannot be decoded"
    elif fault.path:
        problem = f"`{fault.path}` {fault.problem}"
    else:
        problem = f"it {fault.problem}"
    return TroupeError(
        ErrorReason.ERROR_REASON_INVALID_REQUEST,
        f"the request is not {name} in protobuf: {problem}; encode it by the contract of this method",
        violations=[FieldViolation(fault.path, fault.problem)] if fault is not None and fault.path else (),
    )


class _FaultError(ValueError):
    """The first thing that is wrong, and the path of the field that it is in."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""


def _find(data: bytes, kind: Descriptor) -> _FaultError | None:
    try:
        _check(memoryview(data), kind, 0)
    except _FaultError as fault:
        return fault
    return None


def _check(data: memoryview, kind: Descriptor, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise _FaultError(f"is nested more than {_MAX_DEPTH} deep")
    place, counts = 0, Counter[int]()
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise _FaultError("has a field of the number 0, which there is not")
        field = kind.fields_by_number.get(number)
        try:
            place = _check_field(data, place, field, wire_type, depth)
        except _FaultError as fault:
            if field is not None:
                name = f"{field.name}[{counts[number]}]" if field.is_repeated else field.name
                fault.path = f"{name}.{fault.path}" if fault.path else name
            raise
        counts[number] += 1


def _check_field(data: memoryview, place: int, field: FieldDescriptor | None, wire_type: int, depth: int) -> int:
    """Returns where the field ends."""
    if wire_type == _VARINT:
        return _varint(data, place)[1]
    if wire_type in _FIXED:
        end = place + _FIXED[wire_type]
    elif wire_type == _LENGTH:
        length, place = _varint(data, place)
        end = place + length
    else:
        raise _FaultError(f"has a field of the wire type {wire_type}, which is not used here")
    if end > len(data):
        raise _FaultError(f"has {len(data) - place} bytes where {end - place} are announced")
    if wire_type == _LENGTH and field is not None:
        _check_inside(data[place:end], field, depth)
    return end


def _check_inside(data: memoryview, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None:
        _check(data, field.message_type, depth + 1)
    elif field.type == FieldDescriptor.TYPE_STRING:
        try:
            str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise _FaultError(f"is not UTF-8 at its byte {error.start}") from None


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        if place + index >= len(data):
            raise _FaultError("ends within a number")
        byte = data[place + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, place + index + 1
    raise _FaultError("has a number of more than ten bytes")
