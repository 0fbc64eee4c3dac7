"""Which models there are, and which one a request means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Backend as BackendKind
from troupe.api.inference.v1.inference_service_pb2 import Model, ModelKind
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.settings import SettingsError
from troupe.inference.backends.backend import Backend
from troupe.inference.settings import GeminiModel, InferenceSettings, ModelPrice, TritonModel

_KINDS: Final[Mapping[str, "ModelKind.ValueType"]] = {
    "generator": ModelKind.MODEL_KIND_GENERATOR,
    "embedder": ModelKind.MODEL_KIND_EMBEDDER,
}


@dataclass(frozen=True)
class Entry:
    """A model with what serves it."""

    description: Model
    backend: Backend
    price: ModelPrice

    @property
    def name(self) -> str:
        """Its name."""
        return self.description.name


class Catalog:
    """The models of this deployment, by name."""

    def __init__(self, settings: InferenceSettings, *, backends: Mapping["BackendKind.ValueType", Backend]) -> None:
        """Models whose backend is not among `backends` are not offered.

        Raises:
            SettingsError: a default is not offered or of the wrong kind.
        """
        self._entries: dict[str, Entry] = {}
        for kind, models in (
            (BackendKind.BACKEND_TRITON, settings.triton_models),
            (BackendKind.BACKEND_GEMINI, settings.gemini_models),
        ):
            if kind in backends:
                self._entries.update({n: _entry(n, m, kind, backends[kind]) for n, m in models.items()})
        gemini, triton = BackendKind.BACKEND_GEMINI, BackendKind.BACKEND_TRITON
        self._set_default("generator", settings.default_generator, gemini, triton)
        self._set_default("embedder", settings.default_embedder, triton, gemini)

    def entries(self) -> list[Entry]:
        """All models, by name."""
        return [self._entries[name] for name in sorted(self._entries)]

    def find(self, name: str, kind: "ModelKind.ValueType") -> Entry:
        """The model of this name, the default of the kind without one.

        Raises:
            TroupeError: MODEL_NOT_FOUND, or INVALID_REQUEST for a model of the other kind.
        """
        wanted = [e for e in self._entries.values() if e.description.kind == kind]
        entry = self._entries.get(name) if name else next((e for e in wanted if e.description.default), None)
        offered = ", ".join(f"`{e.name}`" for e in wanted) or "none"
        noun = "embedder" if kind == ModelKind.MODEL_KIND_EMBEDDER else "generator"
        if entry is None:
            problem = f"no model is named {name!r}" if name else f"no {noun} is configured"
            raise TroupeError(ErrorReason.ERROR_REASON_MODEL_NOT_FOUND, f"{problem}; offered: {offered}")
        if entry.description.kind != kind:
            violation = FieldViolation("model", f"{name!r} is no {noun}; offered: {offered}")
            raise TroupeError(
                ErrorReason.ERROR_REASON_INVALID_REQUEST, f"`model` {violation.description}", violations=[violation]
            )
        return entry

    def _set_default(self, kind: str, name: str | None, *preferred: "BackendKind.ValueType") -> None:
        entries = [e for e in self._entries.values() if e.description.kind == _KINDS[kind]]
        entries.sort(key=lambda entry: preferred.index(entry.description.backend))
        chosen = next((e for e in entries if name in (None, e.name)), None)
        if chosen is not None:
            chosen.description.default = True
        elif name is not None:
            offered = ", ".join(e.name for e in entries) or "none"
            raise SettingsError(f"setting `inference.default_{kind}` = {name!r}: no such {kind}; offered: {offered}")


def _entry(name: str, model: TritonModel | GeminiModel, kind: "BackendKind.ValueType", backend: Backend) -> Entry:
    description = Model(
        name=name,
        kind=_KINDS[model.kind],
        backend=kind,
        extractive=isinstance(model, TritonModel) and model.extractive,
        dimensions=model.dimensions,
        input_price_usd_micros_per_million_tokens=model.price.input_usd_micros_per_million_tokens,
        output_price_usd_micros_per_million_tokens=model.price.output_usd_micros_per_million_tokens,
    )
    return Entry(description, backend, model.price)
