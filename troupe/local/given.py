"""What a person has set for the services themselves, as far as a stack decides it too.

A stack tells its services where they listen and where the others are. What stands in their own settings, in variables
or in the file, is honoured: addresses to listen on are taken, servers that run already are used, agents are added. All
other settings reach the services untouched.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from troupe.core.addresses import HostPort
from troupe.core.settings import GrpcTarget, ServiceSettings, SettingsError


def _listen(text: str) -> str:
    if text:
        HostPort.parse(text)
    return text


Listen = Annotated[str, AfterValidator(_listen)]
_IGNORE = SettingsConfigDict(extra="ignore")


class _Server(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    listen: Listen = ""
    grace_seconds: float = Field(default=10, ge=0)


class _Inference(ServiceSettings):
    section: ClassVar[str] = "inference"
    model_config = _IGNORE

    server: _Server = _Server()
    triton_url: str = ""
    backends: Mapping[str, Any] = {}

    @property
    def own_triton(self) -> str:
        """Where the backend `triton` is, when somebody has said so."""
        given = self.backends.get("triton")
        return str(given.get("url", "") if isinstance(given, Mapping) else "") or self.triton_url


class _Models(ServiceSettings):
    section: ClassVar[str] = "models"
    model_config = _IGNORE

    chat_weights: Path | None = None


class _Agents(ServiceSettings):
    section: ClassVar[str] = "agents"
    model_config = _IGNORE

    server: _Server = _Server()
    milvus_uri: str = ""
    inference_address: str = ""


class _Orchestrator(ServiceSettings):
    section: ClassVar[str] = "orchestrator"
    model_config = _IGNORE

    server: _Server = _Server()
    redis_url: str = Field(default="", repr=False)
    agents: tuple[GrpcTarget, ...] = ()
    memory_address: str = ""
    inference_address: str = ""


class _Worker(ServiceSettings):
    section: ClassVar[str] = "worker"
    model_config = _IGNORE

    server: _Server = _Server()
    redis_url: str = Field(default="", repr=False)
    agents: tuple[GrpcTarget, ...] = ()


class _Gateway(ServiceSettings):
    section: ClassVar[str] = "gateway"
    model_config = _IGNORE

    listen: Listen = ""
    grace_seconds: float = Field(default=10, ge=0)
    backends: Annotated[Any, NoDecode, BeforeValidator(bool)] = False
    tls_certificate: Path | None = None
    tls_client_ca: Path | None = None


@dataclass(frozen=True)
class Given:
    """The services' own settings."""

    inference: _Inference
    models: _Models
    agents: _Agents
    orchestrator: _Orchestrator
    worker: _Worker
    gateway: _Gateway

    @classmethod
    def load(cls) -> Self:
        """Reads them.

        Raises:
            SettingsError: one cannot be.
        """
        return cls(
            _Inference.load(), _Models.load(), _Agents.load(), _Orchestrator.load(), _Worker.load(), _Gateway.load()
        )

    @property
    def listen(self) -> Mapping[str, HostPort]:
        """Where services shall listen, by name."""
        said = {
            "inference": self.inference.server.listen,
            "agents": self.agents.server.listen,
            "orchestrator": self.orchestrator.server.listen,
            "worker": self.worker.server.listen,
            "gateway": self.gateway.listen,
        }
        return {name: HostPort.parse(text) for name, text in said.items() if text}

    @property
    def grace_seconds(self) -> Mapping[str, float]:
        """How long services may take to end what is open, by name."""
        return {
            "inference": self.inference.server.grace_seconds,
            "agents": self.agents.server.grace_seconds,
            "orchestrator": self.orchestrator.server.grace_seconds,
            "worker": self.worker.server.grace_seconds,
            "gateway": self.gateway.grace_seconds,
        }

    @property
    def own_agents(self) -> tuple[str, ...]:
        """Servers of agents, each once."""
        return tuple(dict.fromkeys((*self.orchestrator.agents, *self.worker.agents)))

    @property
    def redis_url(self) -> str:
        """A Redis that runs already.

        Raises:
            SettingsError: the services name different ones.
        """
        urls = {url for url in (self.orchestrator.redis_url, self.worker.redis_url) if url}
        if len(urls) > 1:
            raise SettingsError(
                "settings `orchestrator.redis_url` and `worker.redis_url` name different Redis servers:"
                " one stack has one, so leave one of them out, or make them the same"
            )
        return next(iter(urls), "")
