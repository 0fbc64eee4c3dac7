"""An encoder that remembers: the agents of one task ask about the same passages again and again."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from .encoder import DIMENSIONS, Encoder, Vectors

MAX_ENTRIES = 8192  # 12 MiB of vectors


class CachedEncoder:
    """Keeps the vectors of the texts that were used last; safe to call from several threads."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The vectors, float32 `[texts, 384]`."""
        found = np.empty((len(texts), DIMENSIONS), np.float32)
        with self._lock:
            missing = [i for i, text in enumerate(texts) if not self._recall(text, found[i])]
        if missing:
            found[missing] = self._encoder.encode([texts[i] for i in missing])[0]
            with self._lock:
                self._remember({texts[i]: found[i].copy() for i in missing})
        return found

    def count_tokens(self, text: str) -> int:
        """The tokens of a text, however long, without the two special ones."""
        return self._encoder.count_tokens(text)

    def _recall(self, text: str, into: Vectors) -> bool:
        vector = self._vectors.get(text)
        if vector is None:
            return False
        self._vectors.move_to_end(text)
        into[:] = vector
        return True

    def _remember(self, vectors: dict[str, Vectors]) -> None:
        self._vectors.update(vectors)
        while len(self._vectors) > MAX_ENTRIES:
            self._vectors.popitem(last=False)
