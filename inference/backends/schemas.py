"""Schemas that answers must follow: taken from requests, and held against what the models wrote."""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import unquote

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
        if _is_endless(schema):
            raise invalid(_FIELD, "refers to itself without an end")
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
        except RecursionError:
            return "nests too deeply"
        return f"breaks the schema at {error.json_path}: {_short(error.message)}" if error is not None else None

    async def follow(self, answer: AsyncGenerator[Generated, None], *, model: str) -> AsyncGenerator[Generated, None]:
        """The same answer, its text in one piece once it is known to follow the schema.

        Raises:
            TroupeError: MODEL_REFUSED when it does not.
        """
        written: list[str] = []
        called = False
        async with aclosing(answer):  # else a refusal here would leave the model's stream open
            async for event in answer:
                if isinstance(event, TextDelta):
                    written.append(event.text)
                    continue
                if isinstance(event, ToolRequest):
                    called = True
                elif text := self._checked("".join(written), event.reason, model=model, called=called):
                    yield TextDelta(text)
                yield event

    def _checked(self, text: str, reason: "FinishReason.ValueType", *, model: str, called: bool) -> str:
        if reason == FinishReason.FINISH_REASON_LENGTH:
            raise _refused(model, "ran out of tokens before its JSON was whole; raise `max_output_tokens`")
        asked_for = reason == FinishReason.FINISH_REASON_STOP and not (called and not text)
        if asked_for and (problem := self.problem(text)) is not None:
            raise _refused(model, f"gave an answer that {problem}")
        return text


def _is_endless(schema: Mapping[str, Any]) -> bool:
    """Whether following references comes back to where it began without a step into the answer.

    The validator would follow them until the stack ends, in native code even past Python's own bound.
    """
    open_places: set[int] = set()
    done: set[int] = set()

    def circles(place: Any) -> bool:
        if not isinstance(place, Mapping) or id(place) in done:
            return False
        if id(place) in open_places:
            return True
        open_places.add(id(place))
        found = any(circles(inner) for inner in _in_place(schema, place))
        open_places.remove(id(place))
        done.add(id(place))
        return found

    return any(circles(place) for place in _places(schema))


def _places(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every table of a schema, whatever it is there for."""
    todo = [value]
    while todo:
        place = todo.pop()
        if isinstance(place, Mapping):
            yield place
        todo.extend(place.values() if isinstance(place, Mapping) else place if isinstance(place, list) else ())


def _in_place(root: Mapping[str, Any], place: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas that the same value of the answer is held against (JSON Schema 2020-12, core, 10.2)."""
    for keyword in ("$ref", "$dynamicRef"):
        yield _target(root, place.get(keyword))
    for keyword in ("not", "if", "then", "else"):
        yield place.get(keyword)
    for keyword in ("allOf", "anyOf", "oneOf"):
        yield from inner if isinstance(inner := place.get(keyword), list) else ()
    yield from inner.values() if isinstance(inner := place.get("dependentSchemas"), Mapping) else ()


def _target(root: Mapping[str, Any], reference: Any) -> Any:
    """What a reference within the schema means: a JSON pointer, or the name of an anchor."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    pointer = unquote(reference[1:])
    if pointer and not pointer.startswith("/"):
        return next((p for p in _places(root) if pointer in (p.get("$anchor"), p.get("$dynamicAnchor"))), None)
    found: Any = root
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


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
