"""The list of models is kept fresh, whatever the inference service answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from tests.support.processes import reached, until
from troupe.api.inference.v1.inference_service_pb2 import (
    DESCRIPTOR,
    ListModelsRequest,
    ListModelsResponse,
    Model,
    ModelKind,
)
from troupe.core.channels import open_channel
from troupe.core.errors import TroupeError
from troupe.orchestrator.models import ModelDirectory

REDIS_KINDS = ["single"]

Handlers = dict[str, "grpc.RpcMethodHandler[Any, Any]"]


class Listing:
    """Answers `ListModels` with these bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.calls = 0

    async def list_models(self, request: ListModelsRequest, context: object) -> bytes:
        self.calls += 1
        return self.answer

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        server = grpc.aio.server()
        handlers: Handlers = {"ListModels": grpc.unary_unary_rpc_method_handler(self.list_models)}
        service = DESCRIPTOR.services_by_name["InferenceService"].full_name
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


async def test_an_answer_that_cannot_be_read_is_asked_for_again() -> None:
    listing = Listing(b"\xff\xff\xff")
    async with listing.served() as address, open_channel(address) as channel, ModelDirectory(channel) as models:
        await reached(lambda: listing.calls > 0)
        await models.check("unheard-of", field="model")
        good = ListModelsResponse(models=[Model(name="good", kind=ModelKind.MODEL_KIND_GENERATOR)])
        listing.answer = good.SerializeToString()

        async def known() -> bool:
            try:
                await models.check("unheard-of", field="model")
            except TroupeError as error:
                return "good" in error.message
            return False

        await until(known)
        await models.check("good", field="model")
