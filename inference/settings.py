"""Settings of the inference service."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from troupe.core.server import ServerSettings
from troupe.core.settings import GrpcTarget, ServiceSettings, SettingsError
from troupe.core.settings_view import print_sections
from troupe.inference.backends.gemini.settings import GeminiSettings
from troupe.inference.backends.kinds import AnyBackend
from troupe.inference.backends.settings import BackendSettings, ModelSettings, table_of
from troupe.inference.backends.triton.model import TritonModel
from troupe.inference.backends.triton.settings import TritonSettings

# Of each former setting: the backend, and the field of it, that say the same now.
_FORMER: Final[Mapping[str, tuple[str, str]]] = {
    "triton_url": ("triton", "url"),
    "triton_models": ("triton", "models"),
    "gemini_base_url": ("gemini", "base_url"),
    "gemini_models": ("gemini", "models"),
}


def _of_their_name(backends: Any) -> Any:
    """A backend that does not say its kind is of the kind that it is named for."""
    if not isinstance(backends, Mapping):
        return backends
    tables = {name: table_of(given) for name, given in backends.items()}
    return {name: {"kind": name, **given} if isinstance(given, Mapping) else given for name, given in tables.items()}


def _backend_name(name: str) -> str:
    if not re.fullmatch("[a-z0-9][a-z0-9_-]{0,31}", name, re.ASCII):
        raise ValueError("the name of a backend is a to z, 0 to 9, `-` and `_`, at most 32 of them")
    return name


BackendName = Annotated[str, AfterValidator(_backend_name)]


class LimitSettings(BaseModel):
    """Bounds of one process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrent_generations: int = Field(default=64, gt=0)
    concurrent_embeds: int = Field(default=64, gt=0)
    max_output_tokens: int = Field(default=32_768, gt=0)


class InferenceSettings(ServiceSettings):
    """How the inference service runs."""

    section: ClassVar[str] = "inference"

    server: ServerSettings = ServerSettings(listen="127.0.0.1:50053")
    backends: Annotated[Mapping[BackendName, AnyBackend], BeforeValidator(_of_their_name)] = Field(
        default={"triton": TritonSettings()},
        description="what serves the models, by a name of yours; `kind` is the name unless it is set",
    )
    default_generator: str | None = Field(
        default=None,
        description="unset: the first generator of a backend, in their order; one that writes before one that quotes",
    )
    default_embedder: str | None = Field(default=None, description="unset: the first embedder, in the backends' order")
    limits: LimitSettings = LimitSettings()
    gemini_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("TROUPE_INFERENCE__GEMINI_API_KEY", "GEMINI_API_KEY", "gemini_api_key"),
        description="the `api_key` of the backend `gemini`, which is added where it is not among the backends",
    )
    triton_url: GrpcTarget | None = Field(default=None, description="former name of `backends.triton.url`")
    triton_models: Mapping[str, TritonModel] | None = Field(
        default=None, description="former name of `backends.triton.models`"
    )
    gemini_base_url: str | None = Field(default=None, description="former name of `backends.gemini.base_url`")
    gemini_models: Mapping[str, ModelSettings] | None = Field(
        default=None, description="former name of `backends.gemini.models`"
    )

    def all_backends(self) -> Mapping[str, BackendSettings]:
        """The backends in their order, with what former settings and a key of Gemini add.

        Raises:
            SettingsError: a former setting means a backend of another kind.
        """
        backends: dict[str, BackendSettings] = dict(self.backends)
        if self.gemini_api_key and self.gemini_api_key.get_secret_value():
            backends.setdefault("gemini", GeminiSettings(api_key=self.gemini_api_key))
        for former, (name, field) in self._former():
            given = backends.get(name) or (TritonSettings() if name == "triton" else None)
            if given is None:  # models of Gemini without a key are not offered
                continue
            if given.kind != name:
                raise SettingsError(
                    f"setting `inference.{former}` means the backend `{name}`, which is of kind {given.kind!r}"
                )
            if field not in given.model_fields_set:
                backends[name] = given.model_copy(update={field: getattr(self, former)})
        return backends

    def superseded(self) -> Mapping[str, str]:
        """The former settings that are in use, each with the one that says the same now."""
        return {f"inference.{former}": f"inference.backends.{name}.{field}" for former, (name, field) in self._former()}

    def _former(self) -> Iterator[tuple[str, tuple[str, str]]]:
        return ((former, now) for former, now in _FORMER.items() if getattr(self, former) is not None)


if __name__ == "__main__":
    from troupe.inference.models.settings import ModelsSettings

    print_sections(InferenceSettings, ModelsSettings)
