"""Settings of the gateway."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from troupe.core.settings import ListenAddress, ServerAddress, ServiceSettings
from troupe.core.settings_view import print_sections
from troupe.gateway.wire.cors import check_origins
from troupe.gateway.wire.hosts import check_hosts


class GatewaySettings(ServiceSettings):
    """The table `[gateway]`, or `TROUPE_GATEWAY__…`."""

    section: ClassVar[str] = "gateway"

    listen: ListenAddress = Field(default="127.0.0.1:8080", description="`host:port`; port 0 takes a free one")
    backends: tuple[ServerAddress, ...] = Field(
        default=("127.0.0.1:50051",), min_length=1, description="`host:port` of each backend"
    )
    connections_per_backend: int = Field(default=2, ge=1, le=64)
    max_connections_per_backend: int = Field(
        default=32, ge=0, le=1_024, description="so many where those have all the calls that the backend takes on each"
    )
    services: tuple[str, ...] = Field(
        default=("troupe.api.*", "grpc.health.v1.Health"), description="services that can be called"
    )
    reflection: bool = Field(
        default=False, description="whether the backend's reflection can be called too, as `grpcurl` and `buf curl` do"
    )
    descriptors: tuple[Path, ...] = Field(
        default=(), description="files of `FileDescriptorSet`s: methods besides Troupe's that can be called with JSON"
    )
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(check_hosts)] = Field(
        default=(),
        description="names by which this gateway may be called, besides those of loopback and the address in `listen`, "
        "or any address where that is not loopback's; `*.example.org` stands for all below, `*` for every name",
    )
    cors_origins: Annotated[tuple[str, ...], AfterValidator(check_origins)] = Field(
        default=("http://localhost:*", "http://127.0.0.1:*"),
        description="origins whose pages may call; `:*` stands for any port, `*` for every origin",
    )
    grace_seconds: float = Field(default=10, ge=0, description="how long open calls may go on after SIGTERM")
    access_log: bool = True
    admin: ListenAddress | None = Field(
        default=None,
        description="`host:port` of plain HTTP with `/metrics`, `/healthz` and `/readyz`; unset: none",
    )

    tls_certificate: Path | None = Field(
        default=None, description="PEM file with the certificate and its chain; with `tls_key`: HTTPS instead of HTTP"
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the key, unencrypted")
    tls_client_ca: Path | None = Field(
        default=None, description="PEM file with the authorities of which clients must show a certificate"
    )

    max_message_bytes: int = Field(
        default=4 << 20, gt=0, description="of a request; responses are bounded by the windows"
    )
    max_response_bytes: int = Field(
        default=32 << 20,
        gt=0,
        description="of a response that is no stream, or a message in JSON: both are put together in the gateway",
    )
    max_concurrent_calls: int = Field(default=10_000, gt=0)
    max_connections: int = Field(default=20_000, gt=0)
    max_streams_per_connection: int = Field(default=256, ge=1, le=65_536, description="of HTTP/2")
    max_stream_resets: int = Field(
        default=200,
        ge=1,
        description="calls that an HTTP/2 client may break off in ten seconds, beyond those it let end",
    )
    max_header_bytes: int = Field(default=16 << 10, ge=1024)
    header_timeout_seconds: float = Field(default=10, gt=0)
    body_timeout_seconds: float = Field(
        default=30,
        gt=0,
        description="until the response begins, each such span has to bring 1 KiB of the request's body, or its end; "
        "any byte will do where the method is known by descriptors to take a stream of messages",
    )
    write_timeout_seconds: float = Field(
        default=30, gt=0, description="how long a client may take none of what waits for it"
    )
    keep_alive_seconds: float = Field(default=75, gt=0)
    idle_stream_seconds: float = Field(
        default=15, gt=0, description="how often an event stream or a WebSocket gives a sign of life when all is quiet"
    )
    stream_window_bytes: int = Field(
        default=64 << 10,
        ge=64 << 10,
        le=1 << 30,
        description="what the backend may send of a call whose client does not read; as much again waits for the"
        " client's socket, and in it. Of 128 calls whose clients read quickly it is 192 KiB more",
    )
    max_unread_bytes: int = Field(
        default=128 << 20,
        gt=0,
        description="what clients may leave unread beyond 256 KiB of each, which large messages in JSON do; when it is"
        " more, those who leave most are sent away",
    )


if __name__ == "__main__":
    print_sections(GatewaySettings)
