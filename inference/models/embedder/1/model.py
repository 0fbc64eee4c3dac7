"""Triton model `embedder`: TEXT BYTES[1] to EMBEDDING FP32[384] and TOKEN_COUNT INT32[1], of up to 64 texts a batch."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from minilm.encoder import Encoder


class TritonPythonModel:
    """Runs all requests that Triton hands over together as one list of texts."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the graph."""
        config = json.loads(args["model_config"])
        threads = int(config["parameters"]["threads"]["string_value"]) or (os.cpu_count() or 1)
        self.encoder = Encoder(Path(__file__).parent, threads=threads)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order."""
        read = [_texts(request) for request in requests]
        vectors, counts = self.encoder.encode([text for texts, _ in read for text in texts])
        responses = []
        start = 0
        for texts, problem in read:
            end = start + len(texts)
            responses.append(_refusal(problem) if problem else _response(vectors[start:end], counts[start:end]))
            start = end
        return responses


def _texts(request: Any) -> tuple[list[str], str | None]:
    raw = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)
    try:
        return [text.decode() for text in raw], None
    except UnicodeDecodeError as error:
        return [], f"TEXT is not UTF-8: {error}"


def _response(vectors: Any, counts: Any) -> Any:
    tensors = [
        pb_utils.Tensor("EMBEDDING", np.ascontiguousarray(vectors)),
        pb_utils.Tensor("TOKEN_COUNT", np.ascontiguousarray(counts.reshape(-1, 1))),
    ]
    return pb_utils.InferenceResponse(tensors)


def _refusal(problem: str) -> Any:
    error = pb_utils.TritonError(problem, pb_utils.TritonError.INVALID_ARG)
    return pb_utils.InferenceResponse(output_tensors=[], error=error)
