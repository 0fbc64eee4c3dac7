"""Requests and responses of the KServe v2 protocol, as values."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from troupe.api.inference.v1.inference_service_pb2 import Sampling

_DTYPES: Final[Mapping[str, str]] = {"FP32": "<f4", "INT32": "<i4", "UINT32": "<u4", "INT64": "<i8"}
_WANTED: Final = ("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")


def text_inputs(values: Sequence[str]) -> bytes:
    """A BYTES tensor: each element behind its length, 32 bits little-endian."""
    encoded = (value.encode() for value in values)
    return b"".join(struct.pack("<I", len(element)) + element for element in encoded)


def embed_request(model: str, texts: Sequence[str], *, timeout_seconds: float | None) -> Any:
    """TEXT BYTES `[texts, 1]`."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="TEXT", datatype="BYTES", shape=[len(texts), 1])
    request.raw_input_contents.append(text_inputs(texts))
    if timeout_seconds is not None:
        # How long it may wait in Triton's queue, where the model has a queue policy that allows this.
        request.parameters["timeout"].int64_param = max(1, int(timeout_seconds * 1e6))
    return request


def generate_request(model: str, prompt: str, sampling_parameters: Mapping[str, Any]) -> Any:
    """The inputs of Triton's vLLM backend."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, text in (("text_input", prompt), ("sampling_parameters", json.dumps(sampling_parameters))):
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(text_inputs([text]))
    for name in ("stream", *_WANTED):
        request.inputs.add(name=name, datatype="BOOL", shape=[1])
        request.raw_input_contents.append(b"\x01")
    return request


def sampling_parameters(sampling: Sampling, *, default_max_tokens: int) -> dict[str, Any]:
    """The fields of vLLM's SamplingParams."""
    parameters: dict[str, Any] = {"max_tokens": sampling.max_output_tokens or default_max_tokens}
    for name in ("temperature", "top_p", "seed"):
        if sampling.HasField(name):
            parameters[name] = getattr(sampling, name)
    if sampling.stop:
        parameters["stop"] = list(sampling.stop)
    return parameters


def outputs(response: Any) -> dict[str, bytes]:
    """The raw tensors of a response by name."""
    return {output.name: raw for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)}


def texts(raw: bytes) -> Iterator[str]:
    """The elements of a BYTES tensor."""
    start = 0
    while start < len(raw):
        (length,) = struct.unpack_from("<I", raw, start)
        yield raw[start + 4 : start + 4 + length].decode(errors="replace")
        start += 4 + length


def numbers(raw: bytes, datatype: str) -> npt.NDArray[Any]:
    """The elements of a tensor of numbers, flat."""
    return np.frombuffer(raw, _DTYPES[datatype])


def is_final(response: Any) -> bool:
    """Whether no response follows this one."""
    return bool(response.parameters["triton_final_response"].bool_param)
