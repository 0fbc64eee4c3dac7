"""Schemas that answers must follow: taken from requests, and held against what the models wrote."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.struct_pb2 import Struct
from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import FinishReason
from troupe.core.errors import TroupeError, invalid
from troupe.inference.backends.backend import Generated, TextDelta, ToolRequest

_FIELD = "response_schema"
_MAX_SHOWN_CHARS = 200


def as_json(struct: Struct, *, field: str) -> dict[str, Any]:
    """The JSON that a `Struct` stands for. It has doubles only; a grammar takes `"maxLength": 20.0` for no schema.

    `field` is where the request has it.

    Raises:
        TroupeError: INVALID_REQUEST for numbers that JSON does not have.
    """
    try:
        value: dict[str, Any] = _integral(MessageToDict(struct))
    except (ValueError, SerializeToJsonError):
        raise invalid(field, "has a number that JSON has not: NaN or an infinity") from None
    return value


class ResponseSchema:
    """A JSON Schema (2020-12). References reach nothing outside it."""

    def __init__(self, struct: Struct) -> None:
        """Takes it from a request.

        Raises:
            TroupeError: INVALID_REQUEST; it is no schema.
        """
        schema = as_json(struct, field=_FIELD)
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise invalid(_FIELD, f"is no JSON Schema: at {error.json_path}: {_short(error.message)}") from None
        self._validator = Draft202012Validator(schema, registry=Registry())

    def problem(self, text: str) -> str | None:
        """What is wrong with an answer; None when it follows the schema."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return "is not JSON"
        try:
            error = best_match(self._validator.iter_errors(value))
        except Unresolvable as reference:
            raise invalid(_FIELD, f"refers to {_short(str(reference.ref))}, which it does not hold") from None
        return f"breaks the schema at {error.json_path}: {_short(error.message)}" if error is not None else None

    async def follow(self, answer: AsyncGenerator[Generated, None], *, model: str) -> AsyncGenerator[Generated, None]:
        """The same answer, its text in one piece once it is known to follow the schema.

        Raises:
            TroupeError: MODEL_REFUSED when it does not.
        """
        written: list[str] = []
        called = False
        async for event in answer:
            if isinstance(event, TextDelta):
                written.append(event.text)
                continue
            if isinstance(event, ToolRequest):
                called = True
            else:
                text = "".join(written)
                if event.reason == FinishReason.FINISH_REASON_LENGTH:
                    raise _refused(model, "ran out of tokens before its JSON was whole; raise `max_output_tokens`")
                asked_for = event.reason == FinishReason.FINISH_REASON_STOP and not (called and not text)
                if asked_for and (problem := self.problem(text)) is not None:
                    raise _refused(model, f"gave an answer that {problem}")
                if text:
                    yield TextDelta(text)
            yield event


def _integral(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _integral(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_integral(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…"


def _refused(model: str, problem: str) -> TroupeError:
    return TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, f"model `{model}` {problem}", metadata={"model": model})
