from collections.abc import AsyncGenerator, Sequence

import pytest

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import GenerateRequest, Model, ModelKind
from troupe.core.errors import TroupeError
from troupe.core.settings import SettingsError
from troupe.inference.backends.backend import Embedded, Generated
from troupe.inference.catalog import Catalog
from troupe.inference.limits import Concurrency

GENERATOR, EMBEDDER = ModelKind.MODEL_KIND_GENERATOR, ModelKind.MODEL_KIND_EMBEDDER


class Listing:
    """A backend that is only listed."""

    def __init__(self, name: str, *models: Model) -> None:
        self.name = name
        self.models = models

    async def generate(
        self, model: str, request: GenerateRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[Generated, None]:
        return
        yield

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float | None) -> Embedded:
        return Embedded([], 0)

    async def ready(self, model: str) -> bool:
        return False

    async def check(self) -> None: ...

    async def recover(self) -> None: ...

    async def close(self) -> None: ...


QUOTING = Listing(
    "own", Model(name="embedder", kind=EMBEDDER), Model(name="generator", kind=GENERATOR, extractive=True)
)
WRITING = Listing(
    "rented",
    Model(name="large", kind=GENERATOR),
    Model(name="small", kind=GENERATOR),
    Model(name="vectors", kind=EMBEDDER),
)


def default(catalog: Catalog, kind: "ModelKind.ValueType") -> str:
    return catalog.find("", kind).name


def test_a_generator_that_writes_is_the_default_before_one_that_quotes() -> None:
    assert default(Catalog([QUOTING]), GENERATOR) == "generator"
    for backends in ([QUOTING, WRITING], [WRITING, QUOTING]):
        assert default(Catalog(backends), GENERATOR) == "large"
    both = Listing("both", *QUOTING.models, Model(name="chat", kind=GENERATOR))
    assert default(Catalog([both]), GENERATOR) == "generator"


def test_what_is_offered_by_name_only_is_never_the_default() -> None:
    toy = Listing("toy", Model(name="toy", kind=GENERATOR, only_by_name=True))
    assert default(Catalog([toy, QUOTING]), GENERATOR) == "generator"
    alone = Catalog([toy])
    assert alone.find("toy", GENERATOR).name == "toy"
    with pytest.raises(TroupeError, match="no generator is configured"):
        alone.find("", GENERATOR)


def test_the_first_embedder_is_the_default() -> None:
    assert default(Catalog([QUOTING, WRITING]), EMBEDDER) == "embedder"
    assert default(Catalog([WRITING, QUOTING]), EMBEDDER) == "vectors"


def test_a_named_default_wins_and_is_the_only_one() -> None:
    catalog = Catalog([QUOTING, WRITING], default_generator="small", default_embedder="vectors")
    assert [entry.name for entry in catalog.entries() if entry.description.default] == ["small", "vectors"]


def test_a_default_that_is_not_offered_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"default_generator.*'large'.*offered: generator"):
        Catalog([QUOTING], default_generator="large")
    with pytest.raises(SettingsError, match=r"default_embedder.*'generator'.*offered: embedder"):
        Catalog([QUOTING], default_embedder="generator")


def test_a_name_is_served_once() -> None:
    with pytest.raises(SettingsError, match=r"`own` and `second` both serve a model 'generator'"):
        Catalog([QUOTING, Listing("second", Model(name="generator", kind=GENERATOR))])


def test_unknown_models_are_told_with_those_on_offer() -> None:
    with pytest.raises(TroupeError, match="'other'; offered: `generator`") as caught:
        Catalog([QUOTING]).find("other", GENERATOR)
    assert caught.value.reason == ErrorReason.ERROR_REASON_MODEL_NOT_FOUND


def test_what_is_too_much_is_refused_and_places_come_free() -> None:
    concurrency = Concurrency(subject="generations", limit=1)
    for _ in range(2):
        with concurrency.slot(), pytest.raises(TroupeError) as caught, concurrency.slot():
            pass
        assert caught.value.reason == ErrorReason.ERROR_REASON_QUOTA_EXCEEDED
        assert caught.value.retry_delay is not None
