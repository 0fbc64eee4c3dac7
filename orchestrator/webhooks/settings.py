"""Settings of webhooks."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from troupe.core.web.addresses import AddressRules
from troupe.orchestrator.domain.retry import RetryPolicy
from troupe.orchestrator.webhooks.signing import key_of

Port = Annotated[int, Field(ge=1, le=65535)]


def _masked(value: object) -> object:
    """Hides the value before it can be found wrong: the error shows what it was given."""
    return SecretStr(value) if isinstance(value, str) else value


def _standard(secret: SecretStr) -> SecretStr:
    key_of(secret.get_secret_value())
    return secret


WebhookSecret = Annotated[SecretStr, AfterValidator(_standard), BeforeValidator(_masked)]


class WebhookSettings(BaseModel):
    """How tasks' webhooks are called. By default eight attempts, spread over about 40 minutes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secrets: tuple[WebhookSecret, ...] = Field(default=(), description="none: `webhook_url` is refused")
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="addresses that may be called though they are not public"
    )
    allowed_ports: frozenset[Port] = Field(default=frozenset(), description="none: every port")
    timeout_seconds: float = Field(default=10.0, gt=0, description="of one attempt, from the lookup of the host on")
    margin_seconds: float = Field(
        default=15.0, gt=0, description="after an attempt's time, before another worker takes a notification over"
    )
    max_attempts: int = Field(default=8, ge=1)
    initial_backoff_seconds: float = Field(default=1.0, ge=0)
    max_backoff_seconds: float = Field(default=3600.0, ge=0)
    backoff_multiplier: float = Field(default=4.0, ge=1)
    max_concurrency: int = Field(default=32, ge=1, description="calls at once of one worker")
    max_concurrency_per_host: int = Field(default=4, ge=1, description="of these, calls of one host")
    poll_seconds: float = Field(default=0.5, gt=0, description="how often a worker without calls looks for some")

    @property
    def enabled(self) -> bool:
        """Whether calls can be signed; without that none is made and none is accepted."""
        return bool(self.secrets)

    def rules(self) -> AddressRules:
        """Where calls may go."""
        return AddressRules(self.allowed_networks, self.allowed_ports, setting="webhooks.allowed_networks")

    def policy(self) -> RetryPolicy:
        """When a call is made again, as the domain has it."""
        return RetryPolicy(
            max_attempts=self.max_attempts,
            initial_backoff_ms=self.initial_backoff_seconds * 1000,
            max_backoff_ms=self.max_backoff_seconds * 1000,
            backoff_multiplier=self.backoff_multiplier,
        )
