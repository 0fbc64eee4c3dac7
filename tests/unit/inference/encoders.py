"""An encoder for tests of what is built on vectors: a text is the words that it has."""

import hashlib
from collections.abc import Sequence

import numpy as np

from troupe.inference.models.extractive.words import content_words
from troupe.inference.models.minilm.encoder import Vectors


class WordEncoder:
    """Texts that share content words are alike; deterministic."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, of 256 components."""
        self.encoded += len(texts)
        vectors = np.zeros((len(texts), 256), np.float32)
        for row, text in enumerate(texts):
            for word in content_words(text):
                vectors[row, hashlib.sha256(word.encode()).digest()[0]] += 1
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)

    def count_tokens(self, text: str) -> int:
        """The words."""
        return len(text.split())
