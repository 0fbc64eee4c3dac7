"""The stack of one machine: which programs, where they listen and what they are told about each other."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from troupe.core.addresses import host_port
from troupe.local.errors import StackError
from troupe.local.given import Given
from troupe.local.launch import Launch
from troupe.local.ports import Ports
from troupe.local.program import Program
from troupe.local.servers.chat import chat_can_run
from troupe.local.servers.milvus import milvus_launch
from troupe.local.servers.redis import redis_launch
from troupe.local.servers.triton import shared_memory_pattern, triton_launch
from troupe.local.settings import LocalSettings

SERVICE_PORTS: Final = {"orchestrator": 50051, "agents": 50052, "inference": 50053, "worker": 50054, "gateway": 8080}
_REDIS_PORT: Final = 6379
_MILVUS_PORT: Final = 19530
_TRITON_PORT: Final = 8001
# How much longer than its open calls a process may take to end.
_BEYOND_GRACE_SECONDS: Final = 2
# Small matrices on a shared machine: threads of numerical libraries cost more than they bring.
_CHAT: Final = {
    "kind": "generator",
    "only_by_name": True,
    "description": "a tiny language model, there to try streams, tools and schemas with; what it says is often wrong",
}
_THREADS: Final = str(min(4, os.cpu_count() or 1))


class Stack:
    """Builds the programs from the stack's settings and from what a person has `given` for the services."""

    def __init__(self, settings: LocalSettings, given: Given, ports: Ports, *, folder: Path, sockets: Path) -> None:
        """`folder` is the data directory by a path that programs can take, `sockets` where servers listen."""
        self._settings = settings
        self._given = given
        self._folder = folder
        self._sockets = sockets
        self._listen = {name: ports.take(name, usual) for name, usual in SERVICE_PORTS.items()}
        self._at = {name: str(listen.reachable) for name, listen in self._listen.items()}
        self._redis_url = settings.redis_url or given.redis_url
        self._milvus_uri = settings.milvus_uri or given.agents.milvus_uri
        self._triton_url = settings.triton_url or given.inference.own_triton

    def programs(self) -> Sequence[Program]:
        """In the order of their start.

        Raises:
            StackError: a server that runs already has no address.
        """
        redis, milvus, triton = self._redis(), self._milvus(), self._triton()
        redis_url = self._redis_url or f"unix://{redis.address.removeprefix('unix:')}"
        agents = {"AGENTS": json.dumps([self._at["agents"], *self._own_agents])}
        elsewhere = self._given.orchestrator
        doors = {
            "MEMORY_ADDRESS": elsewhere.memory_address or self._at["agents"],
            "INFERENCE_ADDRESS": elsewhere.inference_address or self._at["inference"],
        }
        inference = self._given.agents.inference_address or self._at["inference"]
        return [
            redis,
            milvus,
            triton,
            self._service("inference", self._models_at(self._triton_url or triton.address)),
            self._service("agents", {"MILVUS_URI": self._milvus_uri or milvus.address, "INFERENCE_ADDRESS": inference}),
            self._service("orchestrator", {"REDIS_URL": redis_url, **doors, **agents}),
            self._service("worker", {"REDIS_URL": redis_url, **agents}, module="orchestrator.worker"),
            self._gateway(),
            *(Program(name=f"agent {own}", address=own, kind="agents", optional=True) for own in self._own_agents),
        ]

    @property
    def notes(self) -> Sequence[str]:
        """Settings of services that are not used, as the stack itself was told otherwise."""
        services = (self._given.orchestrator.redis_url, self._given.worker.redis_url)
        pairs = {
            "redis_url": (self._settings.redis_url, next(filter(None, services), "")),
            "milvus_uri": (self._settings.milvus_uri, self._given.agents.milvus_uri),
            "triton_url": (self._settings.triton_url, self._given.inference.own_triton),
        }
        unused = [name for name, (own, given) in pairs.items() if own and given not in ("", own)]
        return [f"`{name}` of the services is not used: the stack is told to use another" for name in unused]

    @property
    def _own_agents(self) -> Sequence[str]:
        given = dict.fromkeys((*self._settings.agents, *self._given.own_agents))
        return [address for address in given if address != self._at["agents"]]

    def _models_at(self, triton: str) -> Mapping[str, str]:
        """Where the inference service finds its models; beside those that every deployment has, a language model."""
        said = {"BACKENDS__TRITON__URL": triton}
        if self._with_chat:
            said |= {
                "BACKENDS__CHAT__KIND": "triton",
                "BACKENDS__CHAT__URL": triton,
                "BACKENDS__CHAT__MODELS": json.dumps({"chat": _CHAT}),
            }
        return said

    @property
    def _with_chat(self) -> bool:
        """Whether the stack's own Triton serves `chat`: where that can run, and nobody has a backend of this name."""
        if self._triton_url or "chat" in self._given.inference.backends:
            return False
        return chat_can_run(own_weights=self._given.models.chat_weights is not None)

    def _redis(self) -> Program:
        if self._redis_url:
            tls = urlsplit(self._redis_url).scheme == "rediss"  # that it listens must do
            return _elsewhere("redis", self._redis_url, _REDIS_PORT, kind="tcp" if tls else "redis")
        path = self._sockets / "redis.sock"
        make = partial(redis_launch, data_dir=self._folder / "redis", listen=path)
        return Program(name="redis", address=f"unix:{path}", kind="redis", make=make)

    def _milvus(self) -> Program:
        if self._milvus_uri:
            return _elsewhere("milvus", self._milvus_uri, _MILVUS_PORT, kind="milvus")
        host = f"unix:{self._sockets / 'milvus.sock'}"
        make = partial(milvus_launch, data_dir=self._folder / "milvus", host=host, port=_MILVUS_PORT)
        return Program(name="milvus", address=f"{host}:{_MILVUS_PORT}", kind="milvus", make=make)

    def _triton(self) -> Program:
        if self._triton_url:
            return _elsewhere("triton", self._triton_url, _TRITON_PORT, kind="triton")
        host = f"unix:{self._sockets / 'triton.sock'}"
        models, work_dir = self._folder / "models", self._folder / "triton"
        return Program(
            name="triton",
            address=f"{host}:{_TRITON_PORT}",
            kind="triton",
            make=partial(triton_launch, models=models, work_dir=work_dir, grpc_host=host, grpc_port=_TRITON_PORT),
            prepare=Launch(
                [sys.executable, "-m", "troupe.inference.models", "--out", str(models)]
                + (["--chat"] if self._with_chat else [])
            ),
            leftovers=shared_memory_pattern(work_dir),
        )

    def _service(self, name: str, settings: Mapping[str, str], *, module: str = "") -> Program:
        own = {"SERVER__LISTEN": str(self._listen[name]), **settings}
        make = _python(module or name, {f"TROUPE_{name.upper()}__{key}": value for key, value in own.items()})
        return Program(name=name, address=self._at[name], kind="grpc", make=make, grace_seconds=self._grace(name))

    def _gateway(self) -> Program:
        given, env = self._given.gateway, {"TROUPE_GATEWAY__LISTEN": str(self._listen["gateway"])}
        if not given.backends:
            env["TROUPE_GATEWAY__BACKENDS"] = json.dumps([self._at["orchestrator"]])
        kind = "http" if given.tls_certificate is None else "https"
        return Program(
            name="gateway",
            address=self._at["gateway"],
            kind="tcp" if given.tls_client_ca is not None else kind,  # we have no certificate to show
            make=_python("gateway", env),
            grace_seconds=self._grace("gateway"),
        )

    def _grace(self, name: str) -> float:
        return self._given.grace_seconds[name] + _BEYOND_GRACE_SECONDS


def stack_environment() -> Mapping[str, str]:
    """What every process of the stack inherits, the caller's `TROUPE_*` settings included."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), _THREADS)
    return {**threads, **os.environ, "PYTHONUNBUFFERED": "1"}


def _elsewhere(name: str, url: str, usual_port: int, *, kind: str) -> Program:
    """A server that runs already; what is shown and kept of its URL holds no password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return Program(name=name, address=f"unix:{parts.path}", kind=kind)
    try:
        return Program(name=name, address=str(host_port(url, usual_port)), kind=kind)
    except ValueError:
        raise StackError(f"the address of {name} is none: name its host and port, or leave it out") from None


def _python(module: str, env: Mapping[str, str]) -> Callable[[], Launch]:
    launch = Launch([sys.executable, "-m", f"troupe.{module}"], env)
    return lambda: launch
