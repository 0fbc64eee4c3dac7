"""Triton model `generator`: quotes the sources of its prompt. Inputs and outputs are those of the vLLM backend."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from extractive.answer import Piece, answer
from minilm.cache import CachedEncoder
from minilm.encoder import Encoder

DEFAULT_MAX_TOKENS = 512
STOPPED = Piece("", 0, "stop")


class TritonPythonModel:
    """Answers each request on a worker thread; every response but the last is sent without the FINAL flag."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the graph."""
        parameters = json.loads(args["model_config"])["parameters"]
        threads = int(parameters["threads"]["string_value"]) or (os.cpu_count() or 1)
        self.encoder = CachedEncoder(Encoder(Path(__file__).parent, threads=threads))
        self.encoder.encode(["warm"])
        self.workers = ThreadPoolExecutor(int(parameters["workers"]["string_value"]))

    def execute(self, requests: list[Any]) -> None:
        """Hands each request to a worker."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                call = Call(request, sender)
            except ValueError as error:
                _fail(sender, str(error), pb_utils.TritonError.INVALID_ARG)
            else:
                self.workers.submit(self.serve, call)

    def serve(self, call: "Call") -> None:
        """Answers one request; its failure is told to its caller only."""
        try:
            call.serve(self.encoder)
        except Exception as error:  # noqa: BLE001 - the edge: a defect must not end the worker
            pb_utils.Logger.log_error(f"generator failed: {error!r}")
            _fail(call.sender, f"generator failed: {type(error).__name__}", pb_utils.TritonError.INTERNAL)

    def finalize(self) -> None:
        """Lets running requests end."""
        self.workers.shutdown(wait=True, cancel_futures=True)


class Call:
    """One request, read whole before its worker starts."""

    def __init__(self, request: Any, sender: Any) -> None:
        self.sender = sender
        self.prompt = _text(request, "text_input")
        self.stream = _flag(request, "stream")
        sampling = _sampling(request)
        self.max_tokens = int(sampling.get("max_tokens") or DEFAULT_MAX_TOKENS)
        stop = sampling.get("stop") or []
        self.stop = [stop] if isinstance(stop, str) else stop
        excluded = _flag(request, "exclude_input_in_output", None)
        if self.stream and excluded is False:
            raise ValueError("When streaming, `exclude_input_in_output` = False is not allowed.")
        self.prepend = not self.stream and not excluded
        self.wanted = [name for name in OPTIONAL_OUTPUTS if _flag(request, f"return_{name}")]

    def serve(self, encoder: CachedEncoder) -> None:
        """Sends the answer, its last piece with the FINAL flag."""
        input_tokens = encoder.count_tokens(self.prompt)
        pieces = answer(
            self.prompt,
            max_tokens=self.max_tokens,
            stop=self.stop,
            encoder=encoder,
            cancelled=self.sender.is_cancelled,
        )
        if not self.stream:
            pieces = [_joined(list(pieces), self.prompt if self.prepend else "")]
        last = None
        for last in pieces:
            self.send(last, input_tokens)
        # Not a word to the sender after a final response: Triton has freed it then, and would crash.
        if last is None or last.finish_reason is None:
            # Cancelled: nobody reads an error, and tritonserver 2.51 would keep one for ever and not unload the model.
            self.sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def send(self, piece: Piece, input_tokens: int) -> None:
        """Sends a piece with the outputs that were asked for."""
        values = {
            "text_output": np.array([piece.text.encode()], object),
            "finish_reason": np.array([str(piece.finish_reason).encode()], object),
            "num_input_tokens": np.array(input_tokens, np.uint32),
            "num_output_tokens": np.array([piece.tokens], np.uint32),
        }
        tensors = [pb_utils.Tensor(name, values[name]) for name in ("text_output", *self.wanted)]
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if piece.finish_reason else 0
        self.sender.send(pb_utils.InferenceResponse(tensors), flags=flags)


OPTIONAL_OUTPUTS = ("finish_reason", "num_input_tokens", "num_output_tokens")


def _joined(pieces: list[Piece], prefix: str) -> Piece:
    text = prefix + "".join(piece.text for piece in pieces)
    return Piece(text, sum(piece.tokens for piece in pieces), (pieces or [STOPPED])[-1].finish_reason or "stop")


def _sampling(request: Any) -> dict[str, Any]:
    raw = _text(request, "sampling_parameters") or request.parameters() or "{}"
    try:
        sampling = json.loads(raw)
    except ValueError as error:
        raise ValueError(f"sampling_parameters is not JSON: {error}") from None
    if not isinstance(sampling, dict):
        raise ValueError("sampling_parameters is not a JSON object")
    return sampling


def _text(request: Any, name: str, default: str = "") -> str:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return default
    try:
        return tensor.as_numpy().reshape(-1)[0].decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: {error}") from None


def _flag(request: Any, name: str, default: bool | None = False) -> bool | None:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else bool(tensor.as_numpy().reshape(-1)[0])


def _fail(sender: Any, problem: str, code: int) -> None:
    response = pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(problem, code))
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
