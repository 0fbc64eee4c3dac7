"""Vectors through the whole path: client, InferenceService, Triton, onnxruntime."""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import numpy as np
import pytest

from tests.support.inference import client
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import EmbedRequest, EmbedResponse
from troupe.core.errors import TroupeError

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

_HERE = Path(__file__).parent
# The vectors that sentence-transformers gives for this model; the whole set lies beside some checkouts.
_GOLDEN = _HERE.parents[3] / "shared" / "data" / "minilm_golden.json"
_SUBSET = _HERE / "minilm_golden_subset.json"


def _vectors(response: EmbedResponse) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([list(embedding.values) for embedding in response.embeddings])


async def test_vectors_agree_with_sentence_transformers(inference: "InferenceServiceAsyncStub") -> None:
    golden = json.loads((_GOLDEN if _GOLDEN.exists() else _SUBSET).read_text())
    response = await inference.Embed(EmbedRequest(texts=golden["texts"]))
    reference = np.array(golden["vectors"])
    vectors = _vectors(response)
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
    assert ((vectors * reference).sum(axis=1) / norms).min() >= 0.99999
    assert response.usage.input_tokens == sum(golden["n_tokens"])
    assert response.usage.model_calls == 1
    assert response.model == response.usage.model == "embedder"


async def test_a_text_has_the_same_vector_in_any_company(inference: "InferenceServiceAsyncStub") -> None:
    alone = _vectors(await inference.Embed(EmbedRequest(texts=["A gateway forwards bytes."])))
    words = random.Random(7)
    many = [" ".join(["word"] * words.randint(1, 60)) for _ in range(200)]
    many[137] = "A gateway forwards bytes."
    response = await inference.Embed(EmbedRequest(texts=many))
    assert len(response.embeddings) == 200
    assert np.abs(_vectors(response)[137] - alone[0]).max() < 1e-5


@pytest.mark.parametrize(
    ("request_", "reason", "code"),
    [
        (EmbedRequest(), ErrorReason.ERROR_REASON_INVALID_REQUEST, grpc.StatusCode.INVALID_ARGUMENT),
        (
            EmbedRequest(texts=["a"], model="other"),
            ErrorReason.ERROR_REASON_MODEL_NOT_FOUND,
            grpc.StatusCode.NOT_FOUND,
        ),
        (
            EmbedRequest(texts=["a"], model="generator"),
            ErrorReason.ERROR_REASON_INVALID_REQUEST,
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ],
)
async def test_bad_requests_are_refused(
    inference_process: str, request_: EmbedRequest, reason: "ErrorReason.ValueType", code: grpc.StatusCode
) -> None:
    async with client(inference_process) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Embed(request_)
    error = TroupeError.from_rpc(caught.value)
    assert (error.reason, error.code) == (reason, code)
