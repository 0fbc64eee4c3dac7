from collections.abc import AsyncGenerator, Sequence

import pytest
from pydantic import SecretStr

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Backend as BackendKind
from troupe.api.inference.v1.inference_service_pb2 import GenerateRequest, ModelKind
from troupe.core.errors import TroupeError
from troupe.core.settings import SettingsError
from troupe.inference.backends.backend import Backend, Embedded, Generated
from troupe.inference.catalog import Catalog
from troupe.inference.limits import Concurrency
from troupe.inference.settings import InferenceSettings


class NoBackend:
    """Serves nothing."""

    async def generate(
        self, model: str, request: GenerateRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[Generated, None]:
        return
        yield

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float | None) -> Embedded:
        return Embedded([], 0)

    async def ready(self, model: str) -> bool:
        return False

    async def close(self) -> None: ...


def _catalog(settings: InferenceSettings, *, gemini: bool) -> Catalog:
    backends: dict[BackendKind.ValueType, Backend] = {BackendKind.BACKEND_TRITON: NoBackend()}
    if gemini:
        backends[BackendKind.BACKEND_GEMINI] = NoBackend()
    return Catalog(settings, backends=backends)


def test_the_extractive_generator_is_the_default_without_a_key() -> None:
    catalog = _catalog(InferenceSettings(), gemini=False)
    assert [entry.name for entry in catalog.entries()] == ["embedder", "generator"]
    assert catalog.find("", ModelKind.MODEL_KIND_GENERATOR).name == "generator"
    assert catalog.find("", ModelKind.MODEL_KIND_EMBEDDER).name == "embedder"


def test_gemini_is_the_default_with_a_key() -> None:
    catalog = _catalog(InferenceSettings(gemini_api_key=SecretStr("key")), gemini=True)
    assert catalog.find("", ModelKind.MODEL_KIND_GENERATOR).name == "gemini-2.5-flash"
    assert catalog.find("", ModelKind.MODEL_KIND_EMBEDDER).name == "embedder"


def test_a_named_default_wins() -> None:
    settings = InferenceSettings(default_generator="generator")
    assert _catalog(settings, gemini=True).find("", ModelKind.MODEL_KIND_GENERATOR).name == "generator"


def test_a_default_that_is_not_offered_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"default_generator.*'gemini-2.5-pro'.*offered: generator"):
        _catalog(InferenceSettings(default_generator="gemini-2.5-pro"), gemini=False)


def test_unknown_models_are_told_with_those_on_offer() -> None:
    with pytest.raises(TroupeError, match="'other'; offered: `generator`") as caught:
        _catalog(InferenceSettings(), gemini=False).find("other", ModelKind.MODEL_KIND_GENERATOR)
    assert caught.value.reason == ErrorReason.ERROR_REASON_MODEL_NOT_FOUND


def test_what_is_too_much_is_refused_and_places_come_free() -> None:
    concurrency = Concurrency(subject="generations", limit=1)
    for _ in range(2):
        with concurrency.slot(), pytest.raises(TroupeError) as caught, concurrency.slot():
            pass
        assert caught.value.reason == ErrorReason.ERROR_REASON_QUOTA_EXCEEDED
        assert caught.value.retry_delay is not None
