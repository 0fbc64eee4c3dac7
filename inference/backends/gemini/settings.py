"""Settings of the Gemini API."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from troupe.api.inference.v1.inference_service_pb2 import Backend as BackendKind
from troupe.inference.backends.backend import Backend
from troupe.inference.backends.gemini.backend import GeminiBackend
from troupe.inference.backends.settings import BackendSettings, ModelPrice, ModelSettings


def _key_of_environment() -> SecretStr:
    return SecretStr(os.environ.get("GEMINI_API_KEY", ""))


def _not_empty(key: SecretStr) -> SecretStr:
    if not key.get_secret_value():
        raise ValueError("must be set, here or as GEMINI_API_KEY")
    return key


def _price(input_micros: int, output_micros: int) -> ModelPrice:
    return ModelPrice(
        input_usd_micros_per_million_tokens=input_micros, output_usd_micros_per_million_tokens=output_micros
    )


class GeminiSettings(BackendSettings):
    """The Gemini API, or another endpoint that speaks it."""

    kind: Literal["gemini"] = "gemini"
    api_key: Annotated[SecretStr, AfterValidator(_not_empty)] = Field(
        default_factory=_key_of_environment, validate_default=True, description="unset: GEMINI_API_KEY"
    )
    base_url: str | None = Field(default=None, description="another endpoint that speaks the Gemini API")
    models: Mapping[str, ModelSettings] = {
        "gemini-2.5-flash": ModelSettings(price=_price(300_000, 2_500_000)),
        "gemini-2.5-pro": ModelSettings(price=_price(1_250_000, 10_000_000)),
    }

    def open(self, name: str) -> Backend:
        models = list(self.described(name, BackendKind.BACKEND_GEMINI))
        return GeminiBackend(name, api_key=self.api_key, base_url=self.base_url, models=models)
