"""How clients find and treat an orchestrator."""

from typing import ClassVar, Final

from pydantic import Field

from troupe.core.settings import GrpcTarget, ServiceSettings

DEFAULT_TARGET: Final = "127.0.0.1:50051"
DEFAULT_INFERENCE: Final = "127.0.0.1:50053"


class ClientSettings(ServiceSettings):
    """The section `client`."""

    section: ClassVar[str] = "client"

    target: GrpcTarget = Field(default=DEFAULT_TARGET, description="`host:port` or any gRPC target")
    inference_address: GrpcTarget = Field(
        default=DEFAULT_INFERENCE, description="the inference service, which `troupe generate` asks by itself"
    )
    call_seconds: float = Field(default=30, gt=0, description="deadline of calls that do not stream")
    connect_seconds: float = Field(default=2, ge=0, description="how long a stream may try until its first event")
    reconnect_seconds: float = Field(default=60, ge=0, description="how long a cut stream may try to go on")
    silence_seconds: float = Field(default=60, gt=0, description="a stream without a message for this long is cut")
    max_message_bytes: int = Field(default=64 << 20, gt=0)
