"""Settings of every gRPC server."""

from pydantic import BaseModel, ConfigDict, Field

from troupe.core.settings import ListenAddress


class ServerSettings(BaseModel):
    """Where and how a process serves gRPC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: ListenAddress = Field(description="`host:port`; port 0 takes a free one")
    max_message_bytes: int = Field(default=4 << 20, gt=0)
    grace_seconds: float = Field(default=10, ge=0, description="how long open calls may go on after SIGTERM")
    max_connections: int = Field(default=10_000, ge=1, description="one more is closed at once")
    max_streams_per_connection: int = Field(
        default=1_000, ge=1, description="calls at once; clients wait with more, or open another connection"
    )
    max_pending_calls: int = Field(
        default=10_000, ge=1, description="calls that have come and are not begun; more are refused"
    )
    max_metadata_bytes: int = Field(default=16 << 10, ge=8 << 10, description="of a request")
    handshake_seconds: float = Field(default=10, gt=0, description="in which a new connection has to speak HTTP/2")
    max_connection_age_seconds: float = Field(
        default=3_600, gt=0, description="then clients are asked to connect again, so that new replicas get their share"
    )
    max_connection_age_grace_seconds: float | None = Field(
        default=None,
        gt=0,
        description="how long open calls may go on after that; unset: as long as they last",
    )
    max_connection_idle_seconds: float = Field(default=900, gt=0, description="without a call")
    reflection: bool = True
    admin: ListenAddress | None = Field(
        default=None,
        description="`host:port` of plain HTTP with `/metrics`, `/healthz` and `/readyz`; unset: none",
    )
