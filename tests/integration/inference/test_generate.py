"""The extractive generator through the whole path."""

from typing import TYPE_CHECKING

import grpc.aio
import pytest

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import (
    FinishReason,
    GenerateFinish,
    GenerateRequest,
    ListModelsRequest,
    Message,
    Role,
    Sampling,
)
from troupe.core.errors import TroupeError
from troupe.inference.models.extractive.answer import NO_ANSWER

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

SOURCES = """\
[1] Operations > Restarts
The supervisor restarts a dead process with backoff. Logs are kept in the data directory.

[2] Architecture > Leases
Each running step is held by a lease. A dead worker's lease expires and its step is taken over by another worker.

[3] Kitchen > Bread
Knead the dough for ten minutes. Let it rest until it has doubled."""


def ask(question: str, max_output_tokens: int = 0) -> GenerateRequest:
    return GenerateRequest(
        messages=[
            Message(role=Role.ROLE_USER, text=f"Answer from the sources.\nQuestion: {question}\n\nSources:\n{SOURCES}"),
            Message(role=Role.ROLE_SYSTEM, text="Cite every statement."),
        ],
        sampling=Sampling(max_output_tokens=max_output_tokens),
    )


async def generate(stub: "InferenceServiceAsyncStub", request: GenerateRequest) -> tuple[list[str], GenerateFinish]:
    deltas: list[str] = []
    finishes: list[GenerateFinish] = []
    async for response in stub.Generate(request):
        if response.HasField("finish"):
            finishes.append(response.finish)
        else:
            assert not finishes
            deltas.append(response.text_delta)
    assert len(finishes) == 1
    return deltas, finishes[0]


async def test_the_answer_quotes_the_source_that_answers(inference: "InferenceServiceAsyncStub") -> None:
    deltas, finish = await generate(inference, ask("What happens when a worker dies?"))
    answer = "".join(deltas)
    assert answer.startswith("A dead worker's lease expires and its step is taken over by another worker. [2]")
    assert "[3]" not in answer
    assert finish.reason == FinishReason.FINISH_REASON_STOP
    assert finish.usage.model == "generator"
    assert finish.usage.input_tokens > finish.usage.output_tokens > 10
    assert finish.usage.cost_usd_micros == 0


async def test_what_the_sources_do_not_answer_is_not_answered(inference: "InferenceServiceAsyncStub") -> None:
    deltas, finish = await generate(inference, ask("Who won the world cup in 1998?"))
    assert "".join(deltas) == NO_ANSWER
    assert finish.reason == FinishReason.FINISH_REASON_STOP


async def test_the_same_question_has_the_same_answer(inference: "InferenceServiceAsyncStub") -> None:
    question = ask("How long must the dough be kneaded?")
    assert await generate(inference, question) == await generate(inference, question)


async def test_too_few_tokens_end_the_answer_early(inference: "InferenceServiceAsyncStub") -> None:
    deltas, finish = await generate(inference, ask("What happens when a worker dies?", max_output_tokens=5))
    assert "".join(deltas) == "A dead worker's"
    assert finish.reason == FinishReason.FINISH_REASON_LENGTH
    assert finish.usage.output_tokens == 5


async def test_an_extractive_model_refuses_what_it_cannot_do(inference: "InferenceServiceAsyncStub") -> None:
    request = ask("What happens when a worker dies?")
    request.response_schema.update({"type": "object"})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await generate(inference, request)
    assert TroupeError.from_rpc(caught.value).reason == ErrorReason.ERROR_REASON_MODEL_REFUSED


async def test_the_models_are_listed(inference: "InferenceServiceAsyncStub") -> None:
    models = {model.name: model for model in (await inference.ListModels(ListModelsRequest())).models}
    assert set(models) - {"chat"} == {"embedder", "generator"}
    assert all(model.ready for model in models.values())
    assert {model.name for model in models.values() if model.default} == {"embedder", "generator"}
    assert models["generator"].extractive
    assert models["embedder"].dimensions == 384
