"""What `troupe up` can be told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field

from troupe.core.settings import ServiceSettings
from troupe.local.addresses import AgentAddresses

Port = Annotated[int, Field(ge=0, le=65_535)]


class LocalSettings(ServiceSettings):
    """The section `local`."""

    section: ClassVar[str] = "local"

    data_dir: Path = Field(default=Path("~/.troupe"), description="data, logs and `stack.json`; kept between runs")
    start_seconds: float = Field(default=60, gt=0, description="how long the start may take")
    free_ports: bool = Field(default=False, description="take free ports even where the usual ones are free")
    ports: Mapping[str, Port] = Field(
        default={},
        description="ports of services by name; 0 takes a free one. Else that of the last time, else the usual",
    )
    agents: AgentAddresses = Field(default=(), description="servers of agents of your own, beside the built-in ones")
    redis_url: str = Field(
        default="", repr=False, description="a Redis that runs already, such as `redis://host:6379/0`"
    )
    milvus_uri: str = Field(default="", description="a Milvus that runs already, such as `http://host:19530`")
    triton_url: str = Field(default="", description="a Triton that runs already: `host:port` of its gRPC")
    log_bytes: int = Field(default=5 << 20, gt=0, description="logs that are larger are rotated at start")

    @classmethod
    def in_folder(cls, folder: Path | None) -> Self:
        """The settings, with another data directory where one is named."""
        settings = cls.load()
        return settings if folder is None else settings.model_copy(update={"data_dir": folder})

    @property
    def folder(self) -> Path:
        """The data directory, absolute."""
        return self.data_dir.expanduser().absolute()
