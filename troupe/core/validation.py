"""Checks messages against the rules of the contracts."""

from typing import Any

import protovalidate
from google.protobuf.message import Message

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.error_fitting import MAX_VIOLATIONS
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.unwritable import unwritable


def check_rules(message: Message) -> None:
    """Raises INVALID_REQUEST with every rule that the message breaks, and every value that JSON could not write."""
    broken = [FieldViolation(_path(v.proto.field), _describe(v)) for v in protovalidate.collect_violations(message)]
    if fields := broken + unwritable(message):
        problem = "; ".join(
            f"`{f.field}` {f.description}" if f.field else f.description for f in fields[:MAX_VIOLATIONS]
        )
        if (more := len(fields) - MAX_VIOLATIONS) > 0:
            problem += f"; and {more} more"
        raise TroupeError(ErrorReason.ERROR_REASON_INVALID_REQUEST, problem, violations=fields)


def _path(field: Any) -> str:
    """The path of a protovalidate field, such as `task.plan.steps[2].agent`."""
    parts: list[str] = []
    for element in field.elements if field is not None else ():
        subscript = element.subscript
        parts.append("." + element.field_name)
        if subscript is not None:
            parts.append(f"[{subscript.value!r}]")
    return "".join(parts).removeprefix(".")


def _describe(violation: protovalidate.Violation) -> str:
    problem = violation.proto.message or f"breaks the rule `{violation.proto.rule_id}`"
    value = violation.field_value
    shown = f", not {value!r}" if isinstance(value, str | int | float | bool) and len(str(value)) <= 100 else ""
    return problem.removesuffix(".") + shown
