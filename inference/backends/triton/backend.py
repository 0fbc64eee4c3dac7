"""Models on Triton."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Embedding, FinishReason, GenerateRequest, Model
from troupe.core.errors import TroupeError
from troupe.inference.backends.backend import Embedded, Finished, Generated, TextDelta
from troupe.inference.backends.schemas import as_json
from troupe.inference.backends.triton.client import TritonClient
from troupe.inference.backends.triton.dialects import DIALECTS
from troupe.inference.backends.triton.model import TritonModel
from troupe.inference.backends.triton.prompts import Prompts
from troupe.inference.backends.triton.recovery import Recovery
from troupe.inference.backends.triton.tensors import (
    embed_request,
    generate_request,
    numbers,
    outputs,
    sampling_parameters,
    texts,
)

MAX_BATCH: Final = 64
# Enough to keep the model busy while the last answer travels; more would only queue in Triton.
_BATCHES_IN_FLIGHT: Final = 3
_REASONS: Final[Mapping[str, "FinishReason.ValueType"]] = {
    "stop": FinishReason.FINISH_REASON_STOP,
    "length": FinishReason.FINISH_REASON_LENGTH,
    "content_filter": FinishReason.FINISH_REASON_BLOCKED,
}
# What a response says that is not the last.
_NOT_YET: Final = ("", "None")


class TritonBackend:
    """Speaks the contract of Triton's vLLM backend to generators, and TEXT to EMBEDDING to embedders."""

    def __init__(
        self, name: str, *, client: TritonClient, models: Sequence[Model], settings: Mapping[str, TritonModel]
    ) -> None:
        """`settings` has one for each of the models."""
        self.name = name
        self.models = models
        self._client = client
        self._settings = settings
        self._recovery = Recovery(client)
        self._prompts = Prompts(client, settings)

    async def generate(
        self, model: str, request: GenerateRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[Generated, None]:
        settings = self._settings[model]
        parameters = sampling_parameters(request.sampling, default_max_tokens=settings.default_max_output_tokens)
        parameters.update(_constraints(model, settings, request))
        triton_request = generate_request(model, await self._prompts.render(model, request.messages), parameters)
        tally = _Tally(model)
        stream = self._client.stream(triton_request, timeout_seconds=timeout_seconds)
        with self._recovery.watching(model):
            async with aclosing(stream) as responses:
                async for response in responses:
                    if text := tally.add(outputs(response)):
                        yield TextDelta(text)
        yield tally.finished()

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float | None) -> Embedded:
        slots = asyncio.Semaphore(_BATCHES_IN_FLIGHT)

        async def batch(part: Sequence[str]) -> dict[str, bytes]:
            async with slots:
                with self._recovery.watching(model):
                    request = embed_request(model, part, timeout_seconds=timeout_seconds)
                    return outputs(await self._client.infer(request, timeout_seconds=timeout_seconds))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(batch(texts[start : start + MAX_BATCH]))
                    for start in range(0, len(texts), MAX_BATCH)
                ]
        except BaseExceptionGroup as failures:  # the first is the cause, the rest follow from it
            raise failures.exceptions[0] from None
        return _embedded([task.result() for task in tasks], dimensions=self._settings[model].dimensions)

    async def ready(self, model: str) -> bool:
        try:
            return model not in self._recovery.lost and await self._client.model_ready(model)
        except TroupeError:
            return False

    async def check(self) -> None:
        for model in self._settings:
            if not await self._client.model_ready(model):
                raise ConnectionError(f"Triton at {self._client.url!r} has no ready model `{model}`")
            if model in self._recovery.lost:
                raise ConnectionError(f"model `{model}` lost its process in Triton at {self._client.url!r}")

    async def recover(self) -> None:
        """See `Backend`. Brings back models that lose their process."""
        await self._recovery.run()

    async def close(self) -> None:
        await self._client.close()


class _Tally:
    """What the responses of one request add up to."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._reason = ""
        self._input_tokens = 0
        self._output_tokens = 0

    def add(self, tensors: Mapping[str, bytes]) -> str:
        """Counts a response; its text. Input tokens come with every response, output tokens are those of this one."""
        if raw := tensors.get("num_input_tokens"):
            self._input_tokens = int(numbers(raw, "UINT32")[0])
        if raw := tensors.get("num_output_tokens"):
            self._output_tokens += int(numbers(raw, "UINT32").sum())
        for reason in texts(tensors.get("finish_reason", b"")):
            self._reason = self._reason if reason in _NOT_YET else reason
        return "".join(texts(tensors.get("text_output", b"")))

    def finished(self) -> Finished:
        """The end; raises MODEL_UNAVAILABLE when the model did not come to one of those that answers have."""
        if (reason := _REASONS.get(self._reason)) is None:
            how = f"with {self._reason!r}" if self._reason else "without saying why"
            raise TroupeError(
                ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE,
                f"model `{self._model}` broke off its answer {how}",
                metadata={"model": self._model},
            )
        return Finished(reason, self._input_tokens, self._output_tokens)


def _constraints(model: str, settings: TritonModel, request: GenerateRequest) -> dict[str, Any]:
    if request.tools:
        raise _refused(model, "takes no tools; name a model that does")
    if not request.HasField("response_schema"):
        return {}
    if settings.extractive:
        raise _refused(model, "quotes its sources and cannot follow a response schema; name a language model")
    return dict(DIALECTS[settings.dialect].schema(as_json(request.response_schema, field="response_schema")))


def _refused(model: str, problem: str) -> TroupeError:
    return TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, f"model `{model}` {problem}", metadata={"model": model})


def _embedded(batches: Sequence[Mapping[str, bytes]], *, dimensions: int) -> Embedded:
    embeddings: list[Embedding] = []
    tokens = 0
    for tensors in batches:
        rows = numbers(tensors["EMBEDDING"], "FP32").reshape(-1, dimensions)
        embeddings.extend(Embedding(values=row.tolist()) for row in rows)
        tokens += int(numbers(tensors["TOKEN_COUNT"], "INT32").sum())
    return Embedded(embeddings, tokens)
