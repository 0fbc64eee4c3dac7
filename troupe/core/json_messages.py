"""Messages out of JSON, strictly: what would be left out silently elsewhere is refused with its path.

https://protobuf.dev/programming-guides/json/ lets parsers skip fields and enum values that they do not know. Whoever
misspells a filter would then get everything, and whoever misspells a mode the default one.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeVar

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldOptions
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import EncodeError, Message

from troupe.api.buf.validate import validate_pb2
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.error_fitting import MAX_VIOLATIONS
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.json_values import FORMS, SHOWN_CHARS, is_integer, is_text, shown, shown_text
from troupe.core.nearest import listed, suggestion

MessageT = TypeVar("MessageT", bound=Message)

_WORDS: Final = re.compile(r"(?<!^)(?=[A-Z])")
# Their JSON is no object of their fields.
_WELL_KNOWN: Final = "google.protobuf."
_WRITTEN: Final[Mapping[str, str]] = {
    "google.protobuf.Duration": 'write seconds, such as "90s" or "0.5s", up to about 10,000 years',
    "google.protobuf.Timestamp": 'write date and time in UTC, such as "2026-01-31T12:00:00Z"',
    "google.protobuf.Struct": "send an object in braces, of what JSON has",
    "google.protobuf.ListValue": "send a list in brackets, of what JSON has",
}


def read_json(text: str | bytes, message: MessageT, *, pool: DescriptorPool | None = None) -> MessageT:
    """Fills a message from a JSON object; fields may have their JSON names or those of the contract.

    Raises:
        TroupeError: INVALID_REQUEST, with the path of each field that is unknown, stands twice or has a value that it
            cannot have.
    """
    return fill(message, parse_json(text), pool=pool)


def parse_json(text: str | bytes) -> Any:
    """The value of a text in JSON; `fill` and `check_object` find the names that stand twice in an object.

    Raises:
        TroupeError: INVALID_REQUEST: it is no JSON.
    """
    try:
        # Windows begins files with a byte order mark.
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise _refused([FieldViolation("", f"the JSON is not UTF-8: {error.reason} at byte {error.start}")]) from None
    except RecursionError:
        raise _refused([FieldViolation("", "the JSON is nested too deeply")]) from None
    except ValueError as error:
        problem = str(error) if text.strip() else "there is no text; send an object in braces"
        raise _refused([FieldViolation("", f"this is no JSON: {problem}")]) from None


def fill(message: MessageT, value: Any, *, path: str = "", pool: DescriptorPool | None = None) -> MessageT:
    """Fills a message from what `parse_json` gave; `path` is where it stands, for errors.

    Raises:
        TroupeError: as `read_json`.
    """
    check = _Check(pool)
    try:
        kind: Any = message.DESCRIPTOR
        check.message(value, kind, path)
    except _EnoughError:
        raise _refused(check.violations, "; and there may be more") from None
    except RecursionError:
        raise _refused([FieldViolation(path, "is nested too deeply")]) from None
    if check.violations:
        raise _refused(check.violations)
    try:
        json_format.ParseDict(value, message, descriptor_pool=pool)
        message.ByteSize()
    except (json_format.Error, EncodeError, TypeError, ValueError, RecursionError) as error:
        problem = shown_text(str(error).rstrip("."), 200)
        raise _refused([FieldViolation(path, f"this is no {message.DESCRIPTOR.name} in JSON: {problem}")]) from None
    return message


class _Doubled(dict[str, Any]):
    """An object in which names stand twice."""

    def __init__(self, fields: Mapping[str, Any], names: list[str]) -> None:
        super().__init__(fields)
        self.names = names


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    counts = Counter([name for name, _ in pairs])
    return _Doubled(fields, [name for name, count in counts.items() if count > 1])


class _EnoughError(Exception):
    """So many violations that nobody would read more."""


@dataclass(frozen=True, slots=True)
class _Field:
    """What is looked up once for a field."""

    descriptor: FieldDescriptor
    entry: Descriptor | None
    """Of a map."""
    closed: bool
    """Whether a rule allows no values but those that its enum has."""


@cache
def _fields(kind: Descriptor) -> Mapping[str, _Field]:
    """The fields of a message under both of their names."""
    found: dict[str, _Field] = {}
    for descriptor in kind.fields:
        inner = descriptor.message_type
        entry = inner if inner is not None and inner.GetOptions().map_entry else None
        found[descriptor.name] = found[descriptor.json_name] = _Field(descriptor, entry, _is_closed(descriptor))
    return found


def _is_closed(descriptor: FieldDescriptor) -> bool:
    options = FieldOptions.FromString(descriptor.GetOptions().SerializeToString())  # a pool has classes of its own
    rules = options.Extensions[validate_pb2.field]
    return bool(rules.enum.defined_only or rules.repeated.items.enum.defined_only)


@dataclass(slots=True)
class _Check:
    """Finds what is wrong with a value before it is parsed: the parser stops at the first thing, and skips others."""

    pool: DescriptorPool | None
    violations: list[FieldViolation] = field(default_factory=list)

    def message(self, value: Any, kind: Descriptor, path: str) -> None:
        """Checks an object and what stands in it."""
        if kind.full_name.startswith(_WELL_KNOWN):
            self._well_known(value, kind, path)
            return
        if not isinstance(value, dict):
            self._add(path, f"is {shown(value)}; send an object in braces" if path else _no_object(value, kind))
            return
        self._once(value, path)
        fields = _fields(kind)
        seen: dict[int, str] = {}
        for name, inner in value.items():
            where = f"{path}.{name}" if path else name
            known = fields.get(name)
            if known is None:
                self._add(where, f"is no field of `{kind.name}`; {_nearest_field(name, kind)}")
            elif (other := seen.setdefault(known.descriptor.number, name)) != name:
                self._add(where, f"is the same field as `{shown_text(other, SHOWN_CHARS)}`, which stands there too")
            elif inner is not None:
                self._field(inner, known, where)

    def _field(self, value: Any, known: _Field, path: str) -> None:
        if known.entry is not None:
            if not isinstance(value, dict):
                self._add(path, f"is {shown(value)}; send an object in braces")
                return
            self._once(value, path)
            of_values = _fields(known.entry)["value"]
            for key, inner in value.items():
                where = f"{path}[{shown(key)}]"
                if not is_text(key):
                    self._add(where, "has half of a surrogate pair in its key, which is no text")
                self._one(inner, of_values, where)
        elif known.descriptor.is_repeated:
            if not isinstance(value, list):
                self._add(path, f"is {shown(value)}; send a list in brackets")
                return
            for place, inner in enumerate(value):
                self._one(inner, known, f"{path}[{place}]")
        else:
            self._one(value, known, path)

    def _one(self, value: Any, known: _Field, path: str) -> None:
        descriptor = known.descriptor
        if descriptor.message_type is not None:
            self.message(value, descriptor.message_type, path)
        elif descriptor.enum_type is not None:
            self._enum(value, descriptor.enum_type, path, closed=known.closed)
        elif not FORMS[descriptor.cpp_type].fits(value):
            self._add(path, f"is {shown(value)}; {FORMS[descriptor.cpp_type].wanted}")
        elif isinstance(value, str) and not is_text(value):
            self._add(path, f"is {shown(value)}, which has half of a surrogate pair and is no text")

    def _enum(self, value: Any, kind: EnumDescriptor, path: str, *, closed: bool) -> None:
        if kind.full_name.startswith(_WELL_KNOWN):  # NullValue
            return
        if isinstance(value, str):
            if not is_text(value) or value not in kind.values_by_name:
                self._add(path, f"is {shown(value)}, which is no `{kind.name}`; {_nearest_value(value, kind)}")
        elif isinstance(value, bool) or not is_integer(value):
            self._add(path, f"is {shown(value)}; send one of {listed(kind.values_by_name)}")
        elif (closed or kind.is_closed) and int(value) not in kind.values_by_number:
            self._add(path, f"is {shown(value)}, which is no `{kind.name}`; known: {listed(kind.values_by_name)}")

    def _well_known(self, value: Any, kind: Descriptor, path: str) -> None:
        self._once_anywhere(value, path)
        try:
            parsed = message_factory.GetMessageClass(kind)()
            json_format.ParseDict(value, parsed, descriptor_pool=self.pool)
            parsed.ByteSize()
        except (json_format.Error, EncodeError, AttributeError, TypeError, ValueError, RecursionError) as error:
            wanted = _WRITTEN.get(kind.full_name) or shown_text(str(error).rstrip("."), 200)
            self._add(path, f"is {shown(value)}, which is no `{kind.name}`: {wanted}")

    def _once(self, value: dict[str, Any], path: str) -> None:
        if isinstance(value, _Doubled):
            for name in value.names:
                self._add(f"{path}.{name}" if path else name, "stands twice; send it once")

    def _once_anywhere(self, value: Any, path: str) -> None:
        if isinstance(value, dict):
            self._once(value, path)
            for name, inner in value.items():
                self._once_anywhere(inner, f"{path}.{name}")
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                self._once_anywhere(inner, f"{path}[{place}]")

    def _add(self, path: str, description: str) -> None:
        if len(self.violations) == MAX_VIOLATIONS:
            raise _EnoughError
        self.violations.append(FieldViolation(shown_text(path, 2 * SHOWN_CHARS), description))


def _nearest_field(name: str, kind: Descriptor) -> str:
    return suggestion(name, [each.name if "_" in name else str(each.json_name) for each in kind.fields])


def _nearest_value(name: str, kind: EnumDescriptor) -> str:
    names = list(kind.values_by_name)
    prefix = _WORDS.sub("_", kind.name).upper() + "_"
    return suggestion(name, names, aliases={each.removeprefix(prefix): each for each in names})


def _no_object(value: Any, kind: Descriptor) -> str:
    return f"this is {shown(value)}, and no `{kind.name}` in JSON: an object in braces is expected"


def _refused(violations: list[FieldViolation], more: str = "") -> TroupeError:
    problem = "; ".join(f"`{v.field}` {v.description}" if v.field else v.description for v in violations)
    return TroupeError(ErrorReason.ERROR_REASON_INVALID_REQUEST, problem + more, violations=violations)
