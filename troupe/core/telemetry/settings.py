"""Where traces go."""

from typing import ClassVar

from pydantic import Field

from troupe.core.settings import ServiceSettings


class TelemetrySettings(ServiceSettings):
    """The traces of every process. Where metrics are scraped is `server.admin` of each service."""

    section: ClassVar[str] = "telemetry"

    otlp_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^/@?#]+/?)?$",
        description="a collector that takes OTLP over gRPC, such as `http://127.0.0.1:4317`; empty: no traces."
        " Credentials for it go into OTEL_EXPORTER_OTLP_HEADERS",
    )
    sample_ratio: float = Field(
        default=1.0, ge=0, le=1, description="share of traces that start here; the others follow their caller"
    )
    service_prefix: str = Field(default="troupe-", description="goes before the process's name in `service.name`")
    export_timeout_seconds: float = Field(default=5.0, gt=0, description="how long one export may try")
    flush_timeout_seconds: float = Field(default=3.0, ge=0, description="how long the last spans may hold the exit up")
