"""The port to what serves models."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from troupe.api.inference.v1.inference_service_pb2 import Embedding, FinishReason, GenerateRequest, Model, ToolCall


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of text, to be appended to those before it."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool that the model asks for."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer, with all tokens that it took."""

    reason: "FinishReason.ValueType"
    input_tokens: int
    output_tokens: int


Generated = TextDelta | ToolRequest | Finished


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors, one a text in order, and the tokens that were read."""

    embeddings: Sequence[Embedding]
    input_tokens: int


class Backend(Protocol):
    """Serves the models of one server. `timeout_seconds` is what is left to the caller, None without end.

    Calls of models raise `TroupeError`: MODEL_UNAVAILABLE, MODEL_REFUSED, QUOTA_EXCEEDED, DEADLINE_EXCEEDED, and
    INVALID_REQUEST for what the model cannot take.
    """

    @property
    def name(self) -> str:
        """Its name in the settings, under which health tells of it."""

    @property
    def models(self) -> Sequence[Model]:
        """Its models in the order of the settings, `ready` and `default` unset."""

    def generate(
        self, model: str, request: GenerateRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[Generated, None]:
        """The answer, `Finished` last. Closing the iterator stops the model."""

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float | None) -> Embedded:
        """The vectors of the texts."""

    async def ready(self, model: str) -> bool:
        """Whether the model can be called now."""

    async def check(self) -> None:
        """Raises, for health, while the server or one of its models cannot be called."""

    async def recover(self) -> None:
        """Mends what the server does not mend by itself, until it is cancelled; may return at once."""

    async def close(self) -> None:
        """Gives back connections."""
