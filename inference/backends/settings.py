"""What the settings of every backend have in common."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from troupe.api.inference.v1.inference_service_pb2 import Backend as BackendKind
from troupe.api.inference.v1.inference_service_pb2 import Model, ModelKind
from troupe.inference.backends.backend import Backend

Micros = Annotated[int, Field(ge=0)]

_KINDS: Final[Mapping[str, "ModelKind.ValueType"]] = {
    "generator": ModelKind.MODEL_KIND_GENERATOR,
    "embedder": ModelKind.MODEL_KIND_EMBEDDER,
}


def table_of(value: Any) -> Any:
    """A table inside a table of many, which comes from a variable as its text; what is none is left as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


class ModelPrice(BaseModel):
    """What a model costs, in millionths of a US dollar for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_usd_micros_per_million_tokens: Micros = 0
    output_usd_micros_per_million_tokens: Micros = 0


class ModelSettings(BaseModel):
    """A model of any backend."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["generator", "embedder"] = "generator"
    dimensions: int = Field(default=0, ge=0, description="components of its vectors; embedders only")
    price: ModelPrice = ModelPrice()
    description: str = Field(default="", description="what a caller should know before asking for it")
    only_by_name: bool = Field(default=False, description="never the default, whatever else is offered")

    def described(self, name: str) -> Model:
        """The model as `ListModels` tells it; the backend adds what else it knows."""
        return Model(
            name=name,
            kind=_KINDS[self.kind],
            dimensions=self.dimensions,
            description=self.description,
            only_by_name=self.only_by_name,
            input_price_usd_micros_per_million_tokens=self.price.input_usd_micros_per_million_tokens,
            output_price_usd_micros_per_million_tokens=self.price.output_usd_micros_per_million_tokens,
        )


class BackendSettings(BaseModel, ABC):
    """A server of models. A kind of its own narrows `kind` to its name, and is listed in `kinds`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    models: Mapping[str, ModelSettings]

    @field_validator("models", mode="before")
    @classmethod
    def _read(cls, models: Any) -> Any:
        return table_of(models)

    @abstractmethod
    def open(self, name: str) -> Backend:
        """The backend that the settings mean by this name; it connects when it is first called."""

    def described(self, name: str, kind: "BackendKind.ValueType") -> Iterator[Model]:
        """The models in their order, as of the backend of this name."""
        for model_name, settings in self.models.items():
            model = settings.described(model_name)
            model.backend, model.backend_name = kind, name
            yield model
