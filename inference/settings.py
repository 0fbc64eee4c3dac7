"""Settings of the inference service."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator

from troupe.core.server import ServerSettings
from troupe.core.settings import GrpcTarget, ServiceSettings
from troupe.core.settings_view import print_sections

Micros = Annotated[int, Field(ge=0)]


class ModelPrice(BaseModel):
    """What a model costs, in millionths of a US dollar for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_usd_micros_per_million_tokens: Micros = 0
    output_usd_micros_per_million_tokens: Micros = 0


class TritonModel(BaseModel):
    """A model that Triton serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["generator", "embedder"]
    extractive: bool = Field(default=False, description="whether it only quotes its sources")
    dimensions: int = Field(default=0, ge=0, description="components of its vectors; embedders only")
    default_max_output_tokens: int = Field(default=512, gt=0)
    price: ModelPrice = ModelPrice()


class GeminiModel(BaseModel):
    """A model of the Gemini API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["generator", "embedder"] = "generator"
    dimensions: int = Field(default=0, ge=0)
    price: ModelPrice = ModelPrice()


class LimitSettings(BaseModel):
    """Bounds of one process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrent_generations: int = Field(default=64, gt=0)
    concurrent_embeds: int = Field(default=64, gt=0)
    max_output_tokens: int = Field(default=32_768, gt=0)


def _gemini_price(input_micros: int, output_micros: int) -> ModelPrice:
    return ModelPrice(
        input_usd_micros_per_million_tokens=input_micros, output_usd_micros_per_million_tokens=output_micros
    )


class InferenceSettings(ServiceSettings):
    """How the inference service runs."""

    section: ClassVar[str] = "inference"

    server: ServerSettings = ServerSettings(listen="127.0.0.1:50053")
    triton_url: GrpcTarget = Field(default="127.0.0.1:8001", description="`host:port` of Triton's gRPC endpoint")
    triton_models: Mapping[str, TritonModel] = {
        "embedder": TritonModel(kind="embedder", dimensions=384),
        "generator": TritonModel(kind="generator", extractive=True),
    }
    default_generator: str | None = Field(
        default=None, description="unset: the first generator of Gemini when a key is set, else of Triton"
    )
    default_embedder: str | None = Field(default=None, description="unset: the first embedder of Triton, else Gemini")
    gemini_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("TROUPE_INFERENCE__GEMINI_API_KEY", "GEMINI_API_KEY", "gemini_api_key"),
        description="without it no Gemini model is offered",
    )
    gemini_base_url: str | None = Field(default=None, description="another endpoint that speaks the Gemini API")
    gemini_models: Mapping[str, GeminiModel] = {
        "gemini-2.5-flash": GeminiModel(price=_gemini_price(300_000, 2_500_000)),
        "gemini-2.5-pro": GeminiModel(price=_gemini_price(1_250_000, 10_000_000)),
    }
    limits: LimitSettings = LimitSettings()

    @field_validator("gemini_api_key")
    @classmethod
    def _no_empty_key(cls, key: SecretStr | None) -> SecretStr | None:
        return key if key and key.get_secret_value() else None


if __name__ == "__main__":
    from troupe.inference.models.settings import ModelsSettings

    print_sections(InferenceSettings, ModelsSettings)
