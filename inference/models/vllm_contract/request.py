"""One request, and the responses to it."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

_OPTIONAL_OUTPUTS = ("finish_reason", "num_input_tokens", "num_output_tokens")


class Request:
    """A request that is read whole before it is served. Every response but the last is sent without the FINAL flag."""

    def __init__(self, request: Any, sender: Any) -> None:
        """Reads it.

        Raises:
            ValueError: it is none; the message says what is wrong.
        """
        self._sender = sender
        self.prompt = _text(request, "text_input")
        self.stream = _flag(request, "stream")
        self.sampling = _sampling(request)
        excluded = _flag(request, "exclude_input_in_output", None)
        if self.stream and excluded is False:
            raise ValueError("When streaming, `exclude_input_in_output` = False is not allowed.")
        # What stands before an answer that comes in one response.
        self.prefix = self.prompt if not self.stream and not excluded else ""
        self._wanted = [name for name in _OPTIONAL_OUTPUTS if _flag(request, f"return_{name}")]

    def cancelled(self) -> bool:
        """Whether its caller has gone."""
        return bool(self._sender.is_cancelled())

    def send(self, text: str, *, output_tokens: int, input_tokens: int, finish_reason: str | None = None) -> None:
        """Sends a piece with the outputs that were asked for; the last one says why it ended.

        Not a word to the sender after a final response: Triton has freed it then, and would crash.
        """
        values = {
            "text_output": np.array([text.encode()], object),
            "finish_reason": np.array([str(finish_reason).encode()], object),
            "num_input_tokens": np.array(input_tokens, np.uint32),
            "num_output_tokens": np.array([output_tokens], np.uint32),
        }
        tensors = [pb_utils.Tensor(name, values[name]) for name in ("text_output", *self._wanted)]
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if finish_reason else 0
        self._sender.send(pb_utils.InferenceResponse(tensors), flags=flags)

    def drop(self) -> None:
        """Ends a request that was cancelled.

        Nobody reads an error, and tritonserver 2.51 would keep one for ever and not unload the model.
        """
        self._sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def refuse(self, problem: str) -> None:
        """Ends it with an error of the caller's."""
        fail(self._sender, problem, pb_utils.TritonError.INVALID_ARG)

    def fail(self, problem: str) -> None:
        """Ends it with an error of the model's."""
        fail(self._sender, problem, pb_utils.TritonError.INTERNAL)


def fail(sender: Any, problem: str, code: int) -> None:
    """Answers a request with an error."""
    response = pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(problem, code))
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


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
        return str(tensor.as_numpy().reshape(-1)[0].decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: {error}") from None


def _flag(request: Any, name: str, default: bool | None = False) -> bool | None:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else bool(tensor.as_numpy().reshape(-1)[0])
