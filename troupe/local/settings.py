"""What `troupe up` can be told."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from troupe.core.settings import ServiceSettings


class LocalSettings(ServiceSettings):
    """The section `local`."""

    section: ClassVar[str] = "local"

    data_dir: Path = Field(default=Path("~/.troupe"), description="data, logs and `stack.json`; kept between runs")
    start_seconds: float = Field(default=60, gt=0, description="how long the start may take")
    free_ports: bool = Field(default=False, description="take free ports even where the usual ones are free")
    redis_url: str = Field(default="", description="a Redis that runs already, such as `redis://host:6379/0`")
    milvus_uri: str = Field(default="", description="a Milvus that runs already, such as `http://host:19530`")
    triton_url: str = Field(default="", description="a Triton that runs already: `host:port` of its gRPC")
    log_bytes: int = Field(default=5 << 20, gt=0, description="logs that are larger are rotated at start")

    @property
    def folder(self) -> Path:
        """The data directory, absolute."""
        return self.data_dir.expanduser().absolute()
