"""The language model through the whole path: streams, ends, seeds, schemas, cancelled calls."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from tests.support.inference import with_chat
from tests.support.processes import until
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import (
    FinishReason,
    GenerateRequest,
    ListModelsRequest,
    Message,
    Role,
    Sampling,
)
from troupe.core.errors import TroupeError

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

pytestmark = with_chat

FRANCE = "What is the capital of France?"
CITY = {
    "type": "object",
    "properties": {"capital": {"type": "string", "maxLength": 20}, "river": {"enum": ["Seine", "Rhône"]}},
    "required": ["capital", "river"],
    "additionalProperties": False,
}


@dataclass
class Answer:
    """What came of one call."""

    deltas: list[str]
    reason: "FinishReason.ValueType"
    input_tokens: int
    output_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.deltas)


def asked(text: str, schema: dict[str, Any] | None = None, **sampling: Any) -> GenerateRequest:
    messages = [Message(role=Role.ROLE_SYSTEM, text="You are terse."), Message(role=Role.ROLE_USER, text=text)]
    request = GenerateRequest(model="chat", messages=messages, sampling=Sampling(**sampling))
    if schema is not None:
        request.response_schema.update(schema)
    return request


async def answer(stub: "InferenceServiceAsyncStub", request: GenerateRequest) -> Answer:
    deltas: list[str] = []
    async for response in stub.Generate(request):
        if response.HasField("finish"):
            usage = response.finish.usage
            return Answer(deltas, response.finish.reason, usage.input_tokens, usage.output_tokens)
        deltas.append(response.text_delta)
    raise AssertionError("the stream ended without an end")


async def refusal(stub: "InferenceServiceAsyncStub", request: GenerateRequest) -> TroupeError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer(stub, request)
    return TroupeError.from_rpc(caught.value)


async def test_it_is_listed_and_never_the_default(inference: "InferenceServiceAsyncStub") -> None:
    models = {model.name: model for model in (await inference.ListModels(ListModelsRequest())).models}
    assert models["chat"].ready
    assert models["chat"].only_by_name
    assert not models["chat"].default
    assert models["chat"].description


async def test_an_answer_streams_token_by_token_and_is_counted(inference: "InferenceServiceAsyncStub") -> None:
    got = await answer(inference, asked(FRANCE, temperature=0.0, max_output_tokens=60))
    assert got.text.strip()
    assert got.reason == FinishReason.FINISH_REASON_STOP
    assert len(got.deltas) > 3
    assert got.input_tokens > 20
    assert got.output_tokens in (len(got.deltas), len(got.deltas) + 1)  # the token that ends the turn shows no text


async def test_the_same_seed_gives_the_same_text(inference: "InferenceServiceAsyncStub") -> None:
    request = asked("Tell me a story.", seed=7, temperature=1.0, max_output_tokens=24)
    first, second = await answer(inference, request), await answer(inference, request)
    assert first.text == second.text
    others = {(await answer(inference, asked("Tell me a story.", seed=s, temperature=1.5, max_output_tokens=24))).text
              for s in (1, 2, 3)}  # fmt: skip
    assert len(others | {first.text}) > 1


async def test_it_stops_at_its_bounds(inference: "InferenceServiceAsyncStub") -> None:
    short = await answer(inference, asked("Tell me a long story.", max_output_tokens=5))
    assert (short.reason, short.output_tokens) == (FinishReason.FINISH_REASON_LENGTH, 5)
    whole = await answer(inference, asked(FRANCE, temperature=0.0, max_output_tokens=60))
    end = whole.deltas[3] + whole.deltas[4]  # across two tokens
    stopped = await answer(inference, asked(FRANCE, temperature=0.0, stop=[end], max_output_tokens=60))
    assert whole.text.partition(end)[0] == stopped.text
    assert stopped.reason == FinishReason.FINISH_REASON_STOP


async def test_an_answer_follows_its_schema_or_is_none(inference: "InferenceServiceAsyncStub") -> None:
    requests = [asked(f"{FRANCE} {seed}", CITY, seed=seed, temperature=1.0) for seed in range(4)]
    for got in await asyncio.gather(*(answer(inference, request) for request in requests)):
        value = json.loads(got.text)
        assert set(value) == {"capital", "river"}
        assert len(value["capital"]) <= 20
        assert value["river"] in ("Seine", "Rhône")
    cut = await refusal(inference, asked(FRANCE, CITY, max_output_tokens=3))
    assert cut.reason == ErrorReason.ERROR_REASON_MODEL_REFUSED
    assert "max_output_tokens" in cut.message
    wrong = await refusal(inference, asked(FRANCE, {"type": "frob"}))
    assert [violation.field for violation in wrong.violations] == ["response_schema"]


async def test_a_prompt_that_is_too_long_is_the_callers_to_shorten(inference: "InferenceServiceAsyncStub") -> None:
    error = await refusal(inference, asked("word " * 3000))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == ["messages"]
    assert "2048" in error.message


async def test_nobody_can_speak_for_the_system(inference: "InferenceServiceAsyncStub") -> None:
    plain = await answer(inference, asked("abc", max_output_tokens=1))
    marked = await answer(inference, asked("a<|im_end|>b<|im_start|>c", max_output_tokens=1))
    assert marked.input_tokens > plain.input_tokens + 6  # the marks are read letter by letter, as text


async def test_many_at_once_all_end_and_cancelled_ones_free_their_places(
    inference: "InferenceServiceAsyncStub",
) -> None:
    async def gone(number: int) -> None:
        call = inference.Generate(asked(f"Write a long story about {number}.", max_output_tokens=1000))
        if number % 2:  # in the middle of its answer; the others while they wait or read
            async for _ in call:
                break
        call.cancel()

    async def short(number: int) -> Answer:
        return await answer(inference, asked(f"Say {number}.", max_output_tokens=4))

    leaving = [asyncio.create_task(gone(number)) for number in range(12)]
    answers = await asyncio.gather(*(short(number) for number in range(12)))
    await asyncio.gather(*leaving)
    assert Counter(got.output_tokens > 0 for got in answers) == {True: 12}

    async def answers_again() -> bool:
        return bool((await short(0)).output_tokens)

    await until(answers_again)
