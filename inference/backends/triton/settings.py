"""Settings of a Triton."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from troupe.api.inference.v1.inference_service_pb2 import Backend as BackendKind
from troupe.core.settings import GrpcTarget
from troupe.inference.backends.backend import Backend
from troupe.inference.backends.settings import BackendSettings
from troupe.inference.backends.triton.backend import TritonBackend
from troupe.inference.backends.triton.client import TritonClient
from troupe.inference.backends.triton.model import TritonModel


class TritonSettings(BackendSettings):
    """An NVIDIA Triton, whose generators speak the contract of its vLLM backend."""

    kind: Literal["triton"] = "triton"
    url: GrpcTarget = Field(default="127.0.0.1:8001", description="`host:port` of its gRPC endpoint")
    models: Mapping[str, TritonModel] = {
        "embedder": TritonModel(kind="embedder", dimensions=384),
        "generator": TritonModel(kind="generator", extractive=True),
    }

    def open(self, name: str) -> Backend:
        client = TritonClient(self.url, setting=f"inference.backends.{name}.url")
        described = list(self.described(name, BackendKind.BACKEND_TRITON))
        for model in described:
            model.extractive = self.models[model.name].extractive
        return TritonBackend(name, client=client, models=described, settings=self.models)
