"""Settings: one frozen model a service, read once from `TROUPE_*` variables and one TOML file.

The variable of a field is `TROUPE_<SECTION>__<FIELD>`, deeper levels again behind `__`; its place in the file is
the same field in the table `[<section>]`. The file is `troupe.toml` in the working directory unless
`TROUPE_CONFIG` names another. Variables win over the file, the file over the defaults.
"""

from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from troupe.core.addresses import HostPort, grpc_target, server_address
from troupe.core.settings_problems import explained, undecodable
from troupe.core.settings_sources import CONFIG_VARIABLE, SettingsError, Variables, config_path, file_table

__all__ = [
    "CONFIG_VARIABLE",
    "GrpcTarget",
    "ListenAddress",
    "ServerAddress",
    "ServiceSettings",
    "SettingsError",
    "config_path",
]
_NO_SERVER: Final = "must be host:port, such as 127.0.0.1:50052, without http:// before it; the port is 1 to 65535"


def _listen_address(text: str) -> str:
    try:
        return str(HostPort.parse(text))
    except ValueError:
        raise ValueError(
            "must be host:port, such as 127.0.0.1:50051; the port is 0 to 65535, and 0 takes a free one"
        ) from None


def _server_address(text: str) -> str:
    try:
        return str(server_address(text))
    except ValueError:
        raise ValueError(_NO_SERVER) from None


def _grpc_target(text: str) -> str:
    try:
        return grpc_target(text)
    except ValueError:
        raise ValueError(_NO_SERVER) from None


ListenAddress = Annotated[str, AfterValidator(_listen_address)]
"""Where a server listens."""

ServerAddress = Annotated[str, AfterValidator(_server_address)]
"""Where a server is."""

GrpcTarget = Annotated[str, AfterValidator(_grpc_target)]
"""Where a gRPC server is; other targets of gRPC will do, too, such as `dns:///name:port`."""


class ServiceSettings(BaseSettings):
    """The settings of one service. Subclasses name their `section`."""

    section: ClassVar[str]
    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,
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
        return init_settings, Variables(settings_cls), InitSettingsSource(settings_cls, file_table(cls.section))

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Reads the settings; `given` wins, as options of a command do.

        Raises:
            SettingsError: a value is not valid, or the file cannot be read.
        """
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise SettingsError("; ".join(explained(cls, error, given))) from None
        if problems := list(undecodable(settings)):
            raise SettingsError("; ".join(problems))
        return settings
