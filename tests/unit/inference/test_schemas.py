"""Answers under a schema: whole and valid, or an error."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import FinishReason, ToolCall
from troupe.core.errors import TroupeError
from troupe.inference.backends.backend import Finished, Generated, TextDelta, ToolRequest
from troupe.inference.backends.schemas import ResponseSchema, as_json

CITY = {
    "type": "object",
    "properties": {"capital": {"type": "string", "maxLength": 20}, "people": {"type": "integer", "minimum": 1}},
    "required": ["capital"],
    "additionalProperties": False,
}


def struct(value: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(value)
    return made


def followed(
    schema: dict[str, Any], texts: Sequence[str], reason: "FinishReason.ValueType" = FinishReason.FINISH_REASON_STOP
) -> list[Generated]:
    async def answer() -> AsyncGenerator[Generated, None]:
        for text in texts:
            yield TextDelta(text)
        yield Finished(reason, 1, 1)

    async def collected() -> list[Generated]:
        return [event async for event in ResponseSchema(struct(schema)).follow(answer(), model="chat")]

    return asyncio.run(collected())


def test_whole_numbers_stay_whole() -> None:
    schema = as_json(struct({"maxLength": 20, "multipleOf": 0.5, "enum": [1, 2.5, None, {"a": [3]}]}), field="x")
    assert (
        json.dumps(schema, sort_keys=True) == '{"enum": [1, 2.5, null, {"a": [3]}], "maxLength": 20, "multipleOf": 0.5}'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_has_not_are_refused(number: float) -> None:
    with pytest.raises(TroupeError, match=r"`tools\.parameters` has a number that JSON has not"):
        as_json(struct({"minimum": number}), field="tools.parameters")


def test_a_valid_answer_comes_in_one_piece_before_the_end() -> None:
    assert followed(CITY, ['{"capital":', ' "Paris"}'])[:-1] == [TextDelta('{"capital": "Paris"}')]


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["The capital is Paris."], "is not JSON"),
        ([], "is not JSON"),
        (['{"capital": "Paris"'], "is not JSON"),
        (['{"capital": 7}'], r"breaks the schema at \$.capital: 7 is not of type 'string'"),
        (['{"people": 2}'], r"at \$: 'capital' is a required property"),
        (['{"capital": "Paris", "people": 0}'], r"at \$.people: 0 is less than the minimum of 1"),
        (['{"capital": "Paris", "river": "Seine"}'], "Additional properties"),
        (["[" * 100_000], "is not JSON"),
    ],
)
def test_an_answer_that_breaks_the_schema_is_an_error_and_no_text(texts: list[str], problem: str) -> None:
    with pytest.raises(TroupeError, match=problem) as caught:
        followed(CITY, texts)
    assert caught.value.reason == ErrorReason.ERROR_REASON_MODEL_REFUSED


def test_an_answer_that_was_cut_is_an_error_even_when_it_could_be_read() -> None:
    with pytest.raises(TroupeError, match="ran out of tokens"):
        followed({"type": "integer"}, ["12"], FinishReason.FINISH_REASON_LENGTH)


def test_a_blocked_answer_stays_blocked() -> None:
    (end,) = followed(CITY, [], FinishReason.FINISH_REASON_BLOCKED)
    assert isinstance(end, Finished)


def test_a_tool_call_needs_no_text() -> None:
    async def answer() -> AsyncGenerator[Generated, None]:
        yield ToolRequest(ToolCall(name="search"))
        yield Finished(FinishReason.FINISH_REASON_TOOL_CALLS, 1, 1)

    async def collected() -> list[Generated]:
        return [event async for event in ResponseSchema(struct(CITY)).follow(answer(), model="chat")]

    assert len(asyncio.run(collected())) == 2


@pytest.mark.parametrize(
    "schema",
    [{"type": "frob"}, {"properties": []}, {"required": "capital"}, {"minLength": -1}, {"pattern": "("}, {"anyOf": []}],
)
def test_what_is_no_schema_is_refused_before_the_call(schema: dict[str, Any]) -> None:
    with pytest.raises(TroupeError, match="`response_schema` is no JSON Schema: at ") as caught:
        ResponseSchema(struct(schema))
    assert caught.value.reason == ErrorReason.ERROR_REASON_INVALID_REQUEST


def test_a_refusal_ends_the_models_stream_at_once() -> None:
    closed: list[bool] = []

    async def answer() -> AsyncGenerator[Generated, None]:
        try:
            yield TextDelta("no JSON")
            yield Finished(FinishReason.FINISH_REASON_STOP, 1, 1)
        finally:
            closed.append(True)

    async def refused() -> None:
        stream = answer()  # kept, so that nothing but `follow` can have closed it
        with pytest.raises(TroupeError):
            async for _ in ResponseSchema(struct(CITY)).follow(stream, model="chat"):
                pass
        assert closed == [True]

    asyncio.run(refused())


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"not": {"$ref": "#"}},
        {"if": True, "then": {"$ref": "#"}},
        {"$defs": {"me": {"$anchor": "me", "anyOf": [{"$ref": "#me"}]}}, "$ref": "#me"},
        {"properties": {"a": {"oneOf": [{"$ref": "#/properties/a"}]}}},
    ],
)
def test_a_schema_without_an_end_is_the_callers(schema: dict[str, Any]) -> None:
    with pytest.raises(TroupeError, match="refers to itself without an end") as caught:
        followed(schema, ["1"])
    assert caught.value.reason == ErrorReason.ERROR_REASON_INVALID_REQUEST


def test_a_schema_may_refer_to_itself_one_step_into_the_answer() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"anyOf": [{"$ref": "#"}]}}}
    assert len(followed(tree, ['{"left": {"right": {}}}'])) == 2
    deep = '{"left": ' * 400 + "{}" + "}" * 400
    with pytest.raises(TroupeError, match=r"nests too deeply|is not JSON"):
        followed(tree, [deep])


def test_references_stay_inside() -> None:
    inside = {"$defs": {"name": {"type": "string"}}, "$ref": "#/$defs/name"}
    assert len(followed(inside, ['"Paris"'])) == 2
    for outside in ("http://localhost:1/schema", "file:///etc/passwd", "#/$defs/none"):
        with pytest.raises(TroupeError, match="which it does not hold"):
            followed({"$ref": outside}, ["1"])
