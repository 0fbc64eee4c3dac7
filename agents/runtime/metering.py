"""Model calls of one attempt: attributed, paid from its budget, counted and told."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from troupe.agents.runtime.budget import Budget, Price
from troupe.agents.runtime.models import Models
from troupe.agents.tokens import estimate_tokens
from troupe.api.agent.v1.agent_service_pb2 import ExecuteRequest, ExecuteResponse
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.api.inference.v1.inference_service_pb2 import (
    Attribution,
    EmbedRequest,
    FinishReason,
    GenerateFinish,
    GenerateRequest,
    Message,
    Model,
    Sampling,
    ToolCall,
    ToolDefinition,
)
from troupe.core.errors import TroupeError

Generated = str | ToolCall
"""A piece of text, or a tool that the model asks for."""

_MAX_TEXTS: Final = 1_024
_TOKENS_A_MESSAGE: Final = 8
_TOKENS_A_TOOL: Final = 120


class MeteredModels:
    """The models, for one attempt of a step."""

    def __init__(
        self,
        *,
        models: Models,
        emit: Callable[[ExecuteResponse], None],
        step: ExecuteRequest,
        default_model: str = "",
        timeout_seconds: float | None = None,
    ) -> None:
        self._models = models
        self._emit = emit
        self._model = step.model or default_model
        self._budget = Budget.of(step)
        self._ends = None if timeout_seconds is None else asyncio.get_running_loop().time() + timeout_seconds
        self._attribution = Attribution(
            project=step.project,
            task_id=step.task_id,
            step_id=step.step_id,
            agent=step.agent,
            conversation_id=step.conversation_id,
        )

    async def is_extractive(self) -> bool:
        """Whether the step's generator only quotes."""
        return (await self._generator()).extractive

    async def generate(
        self, messages: Sequence[Message], *, max_output_tokens: int, tools: Sequence[ToolDefinition] = ()
    ) -> AsyncGenerator[Generated, None]:
        """Streams what the generator says."""
        price = _price(await self._generator())
        reservation = self._budget.reserve(
            input_tokens=_estimate(messages, tools), output_tokens=max_output_tokens, price=price
        )
        request = GenerateRequest(
            model=self._model,
            messages=messages,
            sampling=Sampling(max_output_tokens=reservation.output_tokens),
            tools=tools,
            attribution=self._attribution,
        )
        finish = None
        async with aclosing(self._models.generate(request, timeout_seconds=self._time_left())) as responses:
            async for response in responses:
                match response.WhichOneof("event"):
                    case "text_delta":
                        yield response.text_delta
                    case "tool_call":
                        yield response.tool_call
                    case "finish":
                        finish = response.finish
        finish = _checked(finish, self._model)
        self._budget.settle(reservation, finish.usage)
        self._report(finish.usage)

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Vectors, one a text."""
        vectors: list[Sequence[float]] = []
        for start in range(0, len(texts), _MAX_TEXTS):
            batch = texts[start : start + _MAX_TEXTS]
            tokens = sum(map(estimate_tokens, batch))
            reservation = self._budget.reserve(input_tokens=tokens, output_tokens=0, price=Price())
            request = EmbedRequest(texts=batch, attribution=self._attribution)
            reply = await self._models.embed(request, timeout_seconds=self._time_left())
            self._budget.settle(reservation, reply.usage)
            self._report(reply.usage)
            vectors.extend(embedding.values for embedding in reply.embeddings)
        return vectors

    async def _generator(self) -> Model:
        return await self._models.generator(self._model, timeout_seconds=self._time_left())

    def _time_left(self) -> float | None:
        return None if self._ends is None else max(0.001, self._ends - asyncio.get_running_loop().time())

    def _report(self, usage: Usage) -> None:
        self._emit(ExecuteResponse(usage=usage))


def _price(model: Model) -> Price:
    return Price(
        input=model.input_price_usd_micros_per_million_tokens, output=model.output_price_usd_micros_per_million_tokens
    )


def _estimate(messages: Iterable[Message], tools: Sequence[ToolDefinition]) -> int:
    said = sum(_TOKENS_A_MESSAGE + estimate_tokens(message.text) for message in messages)
    return said + _TOKENS_A_TOOL * len(tools)


def _checked(finish: GenerateFinish | None, model: str) -> GenerateFinish:
    name = f"model `{model}`" if model else "the default model"
    if finish is None:
        problem = f"{name} ended its answer without a finish"
        raise TroupeError(ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, problem)
    if finish.reason == FinishReason.FINISH_REASON_BLOCKED:
        raise TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, f"the provider of {name} withheld the answer")
    return finish
