"""The methods of InferenceService."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio

from troupe.api.common.v1.usage_pb2 import Usage
from troupe.api.inference.v1.inference_service_pb2 import (
    EmbedRequest,
    EmbedResponse,
    GenerateFinish,
    GenerateRequest,
    GenerateResponse,
    ListModelsRequest,
    ListModelsResponse,
    Model,
    ModelKind,
)
from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceServicer
from troupe.core.errors import invalid
from troupe.core.logs import bound
from troupe.inference.backends.backend import Finished, Generated, TextDelta
from troupe.inference.backends.schemas import ResponseSchema
from troupe.inference.catalog import Catalog, Entry
from troupe.inference.limits import Concurrency
from troupe.inference.pricing import cost_usd_micros
from troupe.inference.settings import LimitSettings

_Context = grpc.aio.ServicerContext[Any, Any]


class InferenceService(InferenceServiceServicer):
    """Finds the model, counts what it used and lets its backend do the rest."""

    def __init__(self, *, catalog: Catalog, limits: LimitSettings) -> None:
        self._catalog = catalog
        self._limits = limits
        self._generations = Concurrency(subject="generations", limit=limits.concurrent_generations)
        self._embeds = Concurrency(subject="embeds", limit=limits.concurrent_embeds)

    async def Generate(self, request: GenerateRequest, context: _Context) -> AsyncIterator[GenerateResponse]:
        entry = self._catalog.find(request.model, ModelKind.MODEL_KIND_GENERATOR)
        if request.sampling.max_output_tokens > self._limits.max_output_tokens:
            raise invalid("sampling.max_output_tokens", f"must be at most {self._limits.max_output_tokens}")
        schema = ResponseSchema(request.response_schema) if request.HasField("response_schema") else None
        with self._generations.slot(), bound(model=entry.name, **_ids(request)):
            generated = entry.backend.generate(entry.name, request, timeout_seconds=context.time_remaining())
            if schema is not None:
                generated = schema.follow(generated, model=entry.name)
            async with aclosing(generated) as events:
                async for event in events:
                    yield _response(entry, event)

    async def Embed(self, request: EmbedRequest, context: _Context) -> EmbedResponse:
        entry = self._catalog.find(request.model, ModelKind.MODEL_KIND_EMBEDDER)
        with self._embeds.slot(), bound(model=entry.name, **_ids(request)):
            embedded = await entry.backend.embed(entry.name, request.texts, timeout_seconds=context.time_remaining())
        usage = _usage(entry, input_tokens=embedded.input_tokens, output_tokens=0)
        return EmbedResponse(embeddings=embedded.embeddings, usage=usage, model=entry.name)

    async def ListModels(self, request: ListModelsRequest, context: _Context) -> ListModelsResponse:
        entries = self._catalog.entries()
        async with asyncio.TaskGroup() as group:
            ready = [group.create_task(entry.backend.ready(entry.name)) for entry in entries]
        models = []
        for entry, task in zip(entries, ready, strict=True):
            model = Model()
            model.CopyFrom(entry.description)
            model.ready = task.result()
            models.append(model)
        return ListModelsResponse(models=models)


def _response(entry: Entry, event: Generated) -> GenerateResponse:
    if isinstance(event, TextDelta):
        return GenerateResponse(text_delta=event.text)
    if isinstance(event, Finished):
        usage = _usage(entry, input_tokens=event.input_tokens, output_tokens=event.output_tokens)
        return GenerateResponse(finish=GenerateFinish(reason=event.reason, usage=usage))
    return GenerateResponse(tool_call=event.call)


def _usage(entry: Entry, *, input_tokens: int, output_tokens: int) -> Usage:
    cost = cost_usd_micros(entry.description, input_tokens=input_tokens, output_tokens=output_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd_micros=cost,
        model_calls=1,
        model=entry.name,
    )


def _ids(request: GenerateRequest | EmbedRequest) -> dict[str, str]:
    who = request.attribution
    return {name: value for name in ("task_id", "step_id", "agent") if (value := getattr(who, name))}
