"""The encoder: texts to vectors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from .buckets import buckets

MAX_TOKENS = 256  # sentence-transformers' max_seq_length of this model; tokenizer.json itself says 128
DIMENSIONS = 384
GRAPH_FILE = "minilm.onnx"
TOKENIZER_FILE = "tokenizer.json"

Vectors = npt.NDArray[np.float32]


class Encoder:
    """Encodes texts as vectors of length 1; their dot product is the cosine of their meaning."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        """`folder` holds `minilm.onnx` and `tokenizer.json`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Idle threads that spin take the processor from the server beside them, for 2 ms a call.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(folder / GRAPH_FILE), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._counter = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._counter.no_padding()
        self._counter.no_truncation()

    def encode(self, texts: Sequence[str]) -> tuple[Vectors, npt.NDArray[np.int32]]:
        """The vectors, float32 `[texts, 384]`, and the tokens that were read of each text, int32 `[texts]`."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        lengths = np.array([len(encoding.ids) for encoding in encodings], np.int32)
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        for group in buckets(lengths.tolist()):
            vectors[group] = self._forward([encodings[index] for index in group])
        return vectors, lengths

    def count_tokens(self, text: str) -> int:
        """The tokens of a text, however long, without the two special ones."""
        return len(self._counter.encode(text, add_special_tokens=False).ids)

    def _forward(self, encodings: Sequence[Encoding]) -> Vectors:
        width = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), width), np.int64)
        mask = np.zeros((len(encodings), width), np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        vectors: Vectors = self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]
        return vectors
