"""Settings: one frozen model a service, read once from `TROUPE_*` variables and one TOML file.

The variable of a field is `TROUPE_<SECTION>__<FIELD>`, deeper levels again behind `__`; its place in the file is
the same field in the table `[<section>]`. The file is `troupe.toml` in the working directory unless
`TROUPE_CONFIG` names another. Variables win over the file, the file over the defaults.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

CONFIG_VARIABLE = "TROUPE_CONFIG"
_CREDENTIALS = re.compile(r"//[^/@]*@")


class SettingsError(Exception):
    """A setting has a value that it cannot have; the message names it and its origin."""


class ServiceSettings(BaseSettings):
    """The settings of one service. Subclasses name their `section`."""

    section: ClassVar[str]
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_nested_delimiter="__", nested_model_default_partial_update=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.model_config["env_prefix"] = f"TROUPE_{cls.section.upper()}__"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _file_table(cls.section))

    @classmethod
    def load(cls) -> Self:
        """Reads the settings.

        Raises:
            SettingsError: a value is not valid, or the file cannot be read.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError(
                "\n".join(_explain(cls, e["loc"], e["msg"], e["input"]) for e in error.errors())
            ) from None


def config_path() -> Path:
    """The settings file."""
    return Path(os.environ.get(CONFIG_VARIABLE, "troupe.toml"))


def _file_table(section: str) -> dict[str, Any]:
    path = config_path()
    if not path.exists():
        if CONFIG_VARIABLE in os.environ:
            raise SettingsError(f"`{CONFIG_VARIABLE}` names {str(path)!r}, which does not exist")
        return {}
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text()).get(section, {})
    except (OSError, ValueError) as error:
        raise SettingsError(f"settings file {str(path)!r} cannot be read: {error}") from None
    return table


def _explain(cls: type[ServiceSettings], location: tuple[int | str, ...], problem: str, value: object) -> str:
    path = [str(part) for part in location]
    variable = f"TROUPE_{cls.section.upper()}__" + "__".join(path).upper()
    name = ".".join([cls.section, *path])
    shown = _CREDENTIALS.sub("//***@", repr(value))
    return f"setting `{name}` = {shown}: {problem} (variable {variable} or {str(config_path())!r})"
