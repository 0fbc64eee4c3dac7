"""The language model's weights as they are served, made once and kept."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CachedChat:
    """Weights, and beside them what they say of chats: reading it from them takes seconds."""

    weights: Path

    @property
    def about(self) -> Path:
        """Where that stands."""
        return self.weights.with_suffix(".json")

    def parameters(self) -> Mapping[str, str]:
        """The parameters for the model's `config.pbtxt`."""
        parameters: dict[str, str] = json.loads(self.about.read_text())
        return parameters


def cached_chat(source: Path, cache: Path) -> CachedChat:
    """The cached form of a GGUF file; it is made when there is none of this content."""
    with source.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    cached = CachedChat(cache.expanduser() / f"chat-{content}.gguf")
    if not cached.about.exists():
        from troupe.inference.models.gguf_weights import chat_parameters, requantise  # noqa: PLC0415 - takes a second

        cached.weights.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=cached.weights.parent) as scratch:
            built = CachedChat(Path(scratch) / cached.weights.name)
            requantise(source, built.weights)
            built.about.write_text(json.dumps(chat_parameters(built.weights)))
            built.weights.rename(cached.weights)
            built.about.rename(cached.about)  # last: it says that all is there
    return cached
