"""Vectors of texts: the port, and its adapter over InferenceService."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1 import inference_service_pb2 as pb
from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from troupe.core.errors import TroupeError


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector a text, in order, all of one length and of one model."""

    model: str
    vectors: Sequence[Sequence[float]]


class Embedder(Protocol):
    """Turns texts into vectors."""

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds at least one text.

        Raises:
            TroupeError: MODEL_UNAVAILABLE, or another reason of InferenceService.
        """
        ...


class InferenceEmbedder:
    """Embeds through InferenceService, in batches, several at a time over all callers."""

    def __init__(
        self,
        *,
        channel: grpc.aio.Channel,
        model: str = "",
        batch: int = 64,
        concurrency: int = 4,
        timeout_seconds: float = 60,
    ) -> None:
        self._stub = InferenceServiceStub(channel)
        self._model = model
        self._batch = batch
        self._slots = asyncio.Semaphore(concurrency)
        self._timeout_seconds = timeout_seconds

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds at least one text."""
        batches = [texts[start : start + self._batch] for start in range(0, len(texts), self._batch)]
        replies = await asyncio.gather(*(self._embed(batch) for batch in batches))
        vectors = [list(embedding.values) for reply in replies for embedding in reply.embeddings]
        return Embeddings(replies[0].model, vectors)

    async def _embed(self, texts: Sequence[str]) -> pb.EmbedResponse:
        request = pb.EmbedRequest(model=self._model, texts=texts)
        try:
            async with self._slots:
                reply = await self._stub.Embed(request, timeout=self._timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise _explain(error) from None
        if len(reply.embeddings) != len(texts):
            problem = f"embedder {reply.model!r} answered {len(reply.embeddings)} vectors for {len(texts)} texts"
            raise TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, problem)
        return reply


def _explain(error: grpc.aio.AioRpcError) -> TroupeError:
    unavailable = ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TroupeError(unavailable, "the embedder does not answer in time; is inference overloaded?")
    return TroupeError.from_rpc(error, unavailable=unavailable)
