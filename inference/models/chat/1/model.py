"""Triton model `chat`: a small language model in llama.cpp. Inputs and outputs are those of the vLLM backend."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
import xllamacpp
from completion.admission import Admission
from completion.sampling import completion_request
from vllm_contract.request import Request, fail

_WEIGHTS = Path(__file__).parent / "model.gguf"


class TritonPythonModel:
    """Admits as many requests as llama.cpp has slots, which it decodes together."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the weights."""
        parameters = {
            name: value["string_value"] for name, value in json.loads(args["model_config"])["parameters"].items()
        }
        self.defaults = json.loads(parameters["sampling"])
        slots = int(parameters["slots"])
        # llama.cpp's own door cannot be left out; in a folder of this process nobody else finds it.
        self.folder = tempfile.TemporaryDirectory(prefix="troupe-chat-")
        self.server = xllamacpp.Server(_settings(parameters, slots, Path(self.folder.name) / "llama.sock"))
        self.admission = Admission(slots=slots, waiting=int(parameters["waiting"]))

    def execute(self, requests: list[Any]) -> None:
        """Admits each request, or refuses it."""
        for raw in requests:
            sender = raw.get_response_sender()
            try:
                request = Request(raw, sender)
                body = completion_request(request.prompt, request.sampling, defaults=self.defaults)
            except ValueError as error:
                fail(sender, str(error), pb_utils.TritonError.INVALID_ARG)
                continue
            if not self.admission.admit(Call(request, body, self.server)):
                request.fail("Exceeds maximum queue size")

    def finalize(self) -> None:
        """Lets running requests end."""
        self.admission.close()
        del self.server
        self.folder.cleanup()


class Call:
    """One request with what has come of its answer."""

    def __init__(self, request: Request, body: dict[str, Any], server: Any) -> None:
        self.request = request
        self.body = body
        self.server = server
        self.input_tokens = 0
        self.sent_tokens = 0
        self.kept: list[str] = []  # of an answer that is wanted in one piece
        self.gone = False
        self.ended = False

    def cancelled(self) -> bool:
        """Whether its caller has gone."""
        return self.request.cancelled()

    def drop(self) -> None:
        """Ends it without an answer."""
        self.request.drop()

    def serve(self) -> None:
        """Answers it; its failure is told to its caller only."""
        try:
            self.server.handle_completions(self.body, self.take)
        except Exception as error:  # noqa: BLE001 - the edge: a defect must not end the thread
            pb_utils.Logger.log_error(f"chat failed: {error!r}")
            if not self.ended:
                self.request.fail(f"chat failed: {type(error).__name__}")
            return
        if not self.ended:
            self.end_early()

    def end_early(self) -> None:
        """llama.cpp has stopped without a last chunk."""
        if self.gone:
            self.request.drop()
        else:
            self.request.fail("chat stopped before the end of its answer")

    def take(self, chunk: dict[str, Any]) -> bool:
        """Takes a chunk; True stops llama.cpp."""
        if self.ended:
            return True
        if "error" in chunk:
            self.ended = True
            self.request.refuse(str(chunk["error"].get("message", chunk["error"])))
            return True
        if self.request.cancelled():
            self.gone = True
            return True
        if progress := chunk.get("prompt_progress"):
            self.input_tokens = progress["total"]
        choice = chunk["choices"][0]
        text, reason = choice["text"], choice["finish_reason"]
        if reason is not None:
            self.finish(text, reason, chunk.get("usage") or {})
        elif text:
            self.add(text)
        return False

    def add(self, text: str) -> None:
        """A piece of the answer: one token, as llama.cpp sends them."""
        if not self.request.stream:
            self.kept.append(text)
            return
        self.sent_tokens += 1
        self.request.send(text, output_tokens=1, input_tokens=self.input_tokens)

    def finish(self, text: str, reason: str, usage: dict[str, Any]) -> None:
        """The end. Tokens that showed no text, such as the one that ends a turn, count with it."""
        self.ended = True
        left = int(usage.get("completion_tokens", self.sent_tokens)) - self.sent_tokens
        self.request.send(
            self.request.prefix + "".join(self.kept) + text,
            output_tokens=max(left, 0),
            input_tokens=int(usage.get("prompt_tokens", self.input_tokens)),
            finish_reason=reason,
        )


def _settings(parameters: dict[str, str], slots: int, socket: Path) -> Any:
    settings = xllamacpp.CommonParams()
    settings.model.path = str(_WEIGHTS)
    settings.n_parallel = slots
    settings.n_ctx = slots * int(parameters["context"])
    settings.n_batch = settings.n_ubatch = int(parameters["batch"])
    threads = int(parameters["threads"]) or (os.cpu_count() or 1)
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.hostnames = [str(socket)]
    settings.cache_ram_mib = 0
    settings.warmup = False  # costs as much as the first answer, which pays for itself
    settings.verbosity = -1
    return settings
