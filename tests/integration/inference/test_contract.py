"""What the generator promises to any client of Triton's vLLM backend, and the embedder to any client."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.integration.inference.test_generate import SOURCES
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.inference.backends.triton.client import TritonClient
from troupe.inference.backends.triton.tensors import embed_request, generate_request, is_final, numbers, outputs, texts

PROMPT = f"Question: What happens when a worker dies?\n\nSources:\n{SOURCES}"
ANSWER = "A dead worker's lease expires and its step is taken over by another worker. [2]"


@pytest.fixture
async def triton(inference_address: str, triton_address: str) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton_address, setting="inference.backends.triton.url")
    yield client
    await client.close()


def _with_flags(request: Any, **flags: bool) -> Any:
    """Replaces inputs of a request."""
    for name, value in flags.items():
        names = [tensor.name for tensor in request.inputs]
        if name not in names:
            request.inputs.add(name=name, datatype="BOOL", shape=[1])
            request.raw_input_contents.append(b"")
            names.append(name)
        request.raw_input_contents[names.index(name)] = bytes([value])
    return request


async def _responses(triton: TritonClient, request: Any) -> list[Any]:
    return [response async for response in triton.stream(request, timeout_seconds=20)]


def _text(tensors: Mapping[str, bytes]) -> str:
    return "".join(texts(tensors["text_output"]))


async def test_a_stream_is_of_deltas_and_the_last_one_is_final(triton: TritonClient) -> None:
    responses = await _responses(triton, generate_request("generator", PROMPT, {"max_tokens": 512}))
    tensors = [outputs(response) for response in responses]
    assert "".join(_text(t) for t in tensors).startswith(ANSWER)
    assert [is_final(response) for response in responses] == [False] * (len(responses) - 1) + [True]
    reasons = [next(texts(t["finish_reason"])) for t in tensors]
    assert reasons == ["None"] * (len(responses) - 1) + ["stop"]
    assert len({int(numbers(t["num_input_tokens"], "UINT32")[0]) for t in tensors}) == 1
    assert all(numbers(t["num_output_tokens"], "UINT32")[0] > 0 for t in tensors)


async def test_without_stream_the_prompt_comes_first_unless_excluded(triton: TritonClient) -> None:
    whole = _with_flags(generate_request("generator", PROMPT, {"max_tokens": 64}), stream=False)
    (response,) = await _responses(triton, whole)
    assert _text(outputs(response)).startswith(PROMPT + ANSWER)
    excluded = _with_flags(
        generate_request("generator", PROMPT, {"max_tokens": 64}), stream=False, exclude_input_in_output=True
    )
    (response,) = await _responses(triton, excluded)
    assert _text(outputs(response)).startswith(ANSWER)


async def test_only_the_outputs_that_are_asked_for_come(triton: TritonClient) -> None:
    quiet = _with_flags(
        generate_request("generator", PROMPT, {}),
        return_finish_reason=False,
        return_num_input_tokens=False,
        return_num_output_tokens=False,
    )
    assert all(set(outputs(response)) == {"text_output"} for response in await _responses(triton, quiet))


async def test_bad_requests_are_refused_and_hurt_nobody(triton: TritonClient) -> None:
    conflict = _with_flags(generate_request("generator", PROMPT, {}), exclude_input_in_output=False)
    broken = generate_request("generator", PROMPT, {})
    broken.raw_input_contents[1] = b"\x02\x00\x00\x00{]"
    not_utf8 = embed_request("embedder", ["ab"], timeout_seconds=None)
    not_utf8.raw_input_contents[0] = b"\x02\x00\x00\x00\xff\xfe"
    for request, told in (
        (conflict, "`exclude_input_in_output` = False is not allowed"),
        (broken, "sampling_parameters is not JSON"),
    ):
        with pytest.raises(TroupeError, match=told) as caught:
            await _responses(triton, request)
        assert caught.value.reason == ErrorReason.ERROR_REASON_MODEL_REFUSED
    with pytest.raises(TroupeError, match="TEXT is not UTF-8"):
        await triton.infer(not_utf8, timeout_seconds=20)
    assert await _responses(triton, generate_request("generator", PROMPT, {}))
