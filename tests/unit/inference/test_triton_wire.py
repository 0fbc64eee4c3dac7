import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Message, Role, Sampling
from troupe.inference.backends.triton.errors import PROCESS_LOST, from_words
from troupe.inference.backends.triton.prompts import plain
from troupe.inference.backends.triton.tensors import (
    embed_request,
    generate_request,
    sampling_parameters,
    text_inputs,
    texts,
)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(_TEXT))
def test_texts_survive_the_wire(values: list[str]) -> None:
    assert list(texts(text_inputs(values))) == values


def test_sampling_speaks_vllm() -> None:
    sampling = Sampling(temperature=0.0, seed=7, stop=["END"])
    assert sampling_parameters(sampling, default_max_tokens=512) == {
        "max_tokens": 512,
        "temperature": 0.0,
        "seed": 7,
        "stop": ["END"],
    }
    assert sampling_parameters(Sampling(max_output_tokens=9), default_max_tokens=512) == {"max_tokens": 9}


def test_a_generate_request_has_the_inputs_of_vllm() -> None:
    request = generate_request("generator", "prompt", {"max_tokens": 1})
    inputs = {tensor.name: raw for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)}
    assert list(texts(inputs["text_input"])) == ["prompt"]
    assert json.loads(next(texts(inputs["sampling_parameters"]))) == {"max_tokens": 1}
    assert inputs["stream"] == b"\x01"
    assert "exclude_input_in_output" not in inputs  # True when streaming, and older backends lack it


def test_the_deadline_bounds_the_queue() -> None:
    assert embed_request("embedder", ["a"], timeout_seconds=1.5).parameters["timeout"].int64_param == 1_500_000
    assert "timeout" not in embed_request("embedder", ["a"], timeout_seconds=None).parameters


def test_system_texts_come_first() -> None:
    messages = [
        Message(role=Role.ROLE_USER, text="Question: Which?"),
        Message(role=Role.ROLE_ASSISTANT, text="That one."),
        Message(role=Role.ROLE_SYSTEM, text="Be brief."),
        Message(role=Role.ROLE_USER),
    ]
    assert plain(messages) == "Be brief.\n\nQuestion: Which?\n\nAssistant: That one."


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("in ensemble 'x', [request id: <id_unknown>] Exceeds maximum queue size", "QUOTA_EXCEEDED"),
        ("Request timeout expired", "DEADLINE_EXCEEDED"),
        ("Request was cancelled", "CANCELLED"),
        ("Request for unknown model: 'x' is not found", "MODEL_UNAVAILABLE"),
        ("Stub process 'generator_0_0' is not healthy.", "MODEL_UNAVAILABLE"),
        (
            '{"error":{"code":400,"message":"request (2101 tokens) exceeds the available context size (2048 tokens)"}}',
            "INVALID_REQUEST",
        ),
        ("The decoder prompt (length 9000) is longer than the maximum model length of 8192.", "INVALID_REQUEST"),
        ("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", "INVALID_REQUEST"),
        ("unexpected shape for input 'TEXT'", "MODEL_REFUSED"),
    ],
)
def test_words_of_triton_have_reasons(words: str, reason: str) -> None:
    error = from_words(words, model="x")
    assert error.reason == ErrorReason.Value(f"ERROR_REASON_{reason}")
    assert (error.metadata.get("cause") == PROCESS_LOST) == ("Stub" in words)
