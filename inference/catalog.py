"""Which models there are, and which one a request means."""

from collections.abc import Sequence
from dataclasses import dataclass

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Model, ModelKind
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.settings import SettingsError
from troupe.inference.backends.backend import Backend


@dataclass(frozen=True)
class Entry:
    """A model with what serves it."""

    description: Model
    backend: Backend

    @property
    def name(self) -> str:
        """Its name."""
        return self.description.name


class Catalog:
    """The models of this deployment, by name."""

    def __init__(
        self, backends: Sequence[Backend], *, default_generator: str | None = None, default_embedder: str | None = None
    ) -> None:
        """The order of the backends, and of their models, tells the defaults that are not given.

        Raises:
            SettingsError: two backends serve a model of the same name, or a default is not offered or of the wrong
                kind.
        """
        self._entries: dict[str, Entry] = {}
        for backend in backends:
            for model in backend.models:
                if (other := self._entries.get(model.name)) is not None:
                    names = f"`{other.backend.name}` and `{backend.name}`"
                    raise SettingsError(
                        f"setting `inference.backends`: {names} both serve a model {model.name!r}; requests name a"
                        " model by its name alone, so leave one of them out"
                    )
                self._entries[model.name] = Entry(_copy(model), backend)
        self._set_default(ModelKind.MODEL_KIND_GENERATOR, default_generator)
        self._set_default(ModelKind.MODEL_KIND_EMBEDDER, default_embedder)

    def entries(self) -> list[Entry]:
        """All models, by name."""
        return [self._entries[name] for name in sorted(self._entries)]

    def find(self, name: str, kind: "ModelKind.ValueType") -> Entry:
        """The model of this name, the default of the kind without one.

        Raises:
            TroupeError: MODEL_NOT_FOUND, or INVALID_REQUEST for a model of the other kind.
        """
        wanted = self._of(kind)
        entry = self._entries.get(name) if name else next((e for e in wanted if e.description.default), None)
        offered = ", ".join(f"`{e.name}`" for e in wanted) or "none"
        noun = _noun(kind)
        if entry is None:
            problem = f"no model is named {name!r}" if name else f"no {noun} is configured"
            raise TroupeError(ErrorReason.ERROR_REASON_MODEL_NOT_FOUND, f"{problem}; offered: {offered}")
        if entry.description.kind != kind:
            violation = FieldViolation("model", f"{name!r} is no {noun}; offered: {offered}")
            raise TroupeError(
                ErrorReason.ERROR_REASON_INVALID_REQUEST, f"`model` {violation.description}", violations=[violation]
            )
        return entry

    def _of(self, kind: "ModelKind.ValueType") -> Sequence[Entry]:
        return [entry for entry in self._entries.values() if entry.description.kind == kind]

    def _set_default(self, kind: "ModelKind.ValueType", name: str | None) -> None:
        entries = self._of(kind)
        if name is None:
            chosen = _preferred([entry for entry in entries if not entry.description.only_by_name])
        elif (chosen := next((entry for entry in entries if entry.name == name), None)) is None:
            noun, offered = _noun(kind), ", ".join(e.name for e in entries) or "none"
            raise SettingsError(f"setting `inference.default_{noun}` = {name!r}: no such {noun}; offered: {offered}")
        if chosen is not None:
            chosen.description.default = True


def _preferred(entries: Sequence[Entry]) -> Entry | None:
    """Of the first model of each backend: the first that writes text of its own, or else the first."""
    firsts = {entry.backend.name: entry for entry in reversed(entries)}.values()
    return next((entry for entry in reversed(firsts) if not entry.description.extractive), next(iter(entries), None))


def _noun(kind: "ModelKind.ValueType") -> str:
    return ModelKind.Name(kind).removeprefix("MODEL_KIND_").lower()


def _copy(model: Model) -> Model:
    copied = Model()
    copied.CopyFrom(model)
    return copied
