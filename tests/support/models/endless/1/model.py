"""Triton model `endless`: a word every few milliseconds until its caller is gone, then a file that says so.

The prompt is the path of that file.
"""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One thread a request."""

    def execute(self, requests: list[Any]) -> None:
        """Starts the requests."""
        for request in requests:
            prompt = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy()[0].decode()
            threading.Thread(target=_generate, args=(request.get_response_sender(), prompt)).start()


def _generate(sender: Any, path: str) -> None:
    word = pb_utils.Tensor("text_output", np.array([b"word "], object))
    while not sender.is_cancelled():
        sender.send(pb_utils.InferenceResponse([word]))
        time.sleep(0.005)
    Path(path).write_text("cancelled")
    sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
