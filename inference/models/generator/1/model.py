"""Triton model `generator`: quotes the sources of its prompt. Inputs and outputs are those of the vLLM backend."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from extractive.answer import Piece, answer
from minilm.cache import CachedEncoder
from minilm.encoder import Encoder
from vllm_contract.request import Request, fail

DEFAULT_MAX_TOKENS = 512
STOPPED = Piece("", 0, "stop")


class TritonPythonModel:
    """Answers each request on a worker thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the graph."""
        parameters = json.loads(args["model_config"])["parameters"]
        threads = int(parameters["threads"]["string_value"]) or (os.cpu_count() or 1)
        self.encoder = CachedEncoder(Encoder(Path(__file__).parent, threads=threads))
        self.encoder.encode(["warm"])
        self.workers = ThreadPoolExecutor(int(parameters["workers"]["string_value"]))

    def execute(self, requests: list[Any]) -> None:
        """Hands each request to a worker."""
        for raw in requests:
            sender = raw.get_response_sender()
            try:
                request = Request(raw, sender)
            except ValueError as error:
                fail(sender, str(error), pb_utils.TritonError.INVALID_ARG)
            else:
                self.workers.submit(self.serve, request)

    def serve(self, request: Request) -> None:
        """Answers one request; its failure is told to its caller only."""
        try:
            _serve(request, self.encoder)
        except Exception as error:  # noqa: BLE001 - the edge: a defect must not end the worker
            pb_utils.Logger.log_error(f"generator failed: {error!r}")
            request.fail(f"generator failed: {type(error).__name__}")

    def finalize(self) -> None:
        """Lets running requests end."""
        self.workers.shutdown(wait=True, cancel_futures=True)


def _serve(request: Request, encoder: CachedEncoder) -> None:
    input_tokens = encoder.count_tokens(request.prompt)
    stop = request.sampling.get("stop") or []
    pieces = answer(
        request.prompt,
        max_tokens=int(request.sampling.get("max_tokens") or DEFAULT_MAX_TOKENS),
        stop=[stop] if isinstance(stop, str) else stop,
        encoder=encoder,
        cancelled=request.cancelled,
    )
    if not request.stream:
        pieces = [_joined(list(pieces), request.prefix)]
    last = None
    for last in pieces:
        request.send(last.text, output_tokens=last.tokens, input_tokens=input_tokens, finish_reason=last.finish_reason)
    if last is None or last.finish_reason is None:
        request.drop()


def _joined(pieces: list[Piece], prefix: str) -> Piece:
    text = prefix + "".join(piece.text for piece in pieces)
    return Piece(text, sum(piece.tokens for piece in pieces), (pieces or [STOPPED])[-1].finish_reason or "stop")
