"""The stack of one machine: which programs, where they listen and what they are told about each other."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from troupe.local import probes
from troupe.local.launch import Launch
from troupe.local.ports import Ports, address
from troupe.local.program import Probe, Program
from troupe.local.servers.milvus import milvus_launch
from troupe.local.servers.redis import redis_launch
from troupe.local.servers.triton import shared_memory_pattern, triton_launch
from troupe.local.settings import LocalSettings

_REDIS_PORT: Final = 6379
_MILVUS_PORT: Final = 19530
_TRITON_PORT: Final = 8001
_SERVICE_PORTS: Final = {"orchestrator": 50051, "agents": 50052, "inference": 50053, "worker": 50054}
_GATEWAY_PORT: Final = 8080
# Small matrices on a shared machine: threads of numerical libraries cost more than they bring.
_THREADS: Final = str(min(4, os.cpu_count() or 1))


def stack_programs(settings: LocalSettings, ports: Ports, *, folder: Path) -> Sequence[Program]:
    """The programs in the order of their start; `folder` is the data directory by a path that programs can take."""
    servers = [_redis(settings, folder, ports), _milvus(settings, folder, ports), _triton(settings, folder, ports)]
    redis_url = settings.redis_url or f"redis://{servers[0].address}/0"
    milvus_uri = settings.milvus_uri or f"http://{servers[1].address}"
    at = {name: address(ports.take(name, usual)) for name, usual in _SERVICE_PORTS.items()}
    agents = json.dumps([at["agents"]])
    return [
        *servers,
        _service("inference", at["inference"], {"TRITON_URL": servers[2].address, "REDIS_URL": redis_url}),
        _service("agents", at["agents"], {"MILVUS_URI": milvus_uri, "INFERENCE_ADDRESS": at["inference"]}),
        _service(
            "orchestrator",
            at["orchestrator"],
            {
                "REDIS_URL": redis_url,
                "AGENTS": agents,
                "MEMORY_ADDRESS": at["agents"],
                "INFERENCE_ADDRESS": at["inference"],
            },
        ),
        _service("worker", at["worker"], {"REDIS_URL": redis_url, "AGENTS": agents}, module="orchestrator.worker"),
        _gateway(address(ports.take("gateway", _GATEWAY_PORT)), at["orchestrator"]),
    ]


def stack_environment() -> Mapping[str, str]:
    """What every process of the stack inherits, the caller's `TROUPE_*` settings included."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), _THREADS)
    return {**threads, **os.environ, "PYTHONUNBUFFERED": "1"}


def _redis(settings: LocalSettings, folder: Path, ports: Ports) -> Program:
    if settings.redis_url:
        return _elsewhere("redis", settings.redis_url, _REDIS_PORT, _redis_elsewhere(settings.redis_url))
    port = ports.take("redis", _REDIS_PORT)
    make = partial(redis_launch, data_dir=folder / "redis", port=port)
    return Program(name="redis", address=address(port), probe=probes.redis(f"redis://{address(port)}"), make=make)


def _redis_elsewhere(url: str) -> Probe:
    if urlsplit(url).scheme == "redis":
        return probes.redis(url)
    host, _, port = _host_port(url, _REDIS_PORT).rpartition(":")  # TLS: that it listens must do
    return probes.tcp(host, int(port))


def _milvus(settings: LocalSettings, folder: Path, ports: Ports) -> Program:
    if settings.milvus_uri:
        where = _host_port(settings.milvus_uri, _MILVUS_PORT)
        return _elsewhere("milvus", settings.milvus_uri, _MILVUS_PORT, probes.milvus(where))
    port = ports.take("milvus", _MILVUS_PORT)
    make = partial(milvus_launch, data_dir=folder / "milvus", port=port)
    return Program(name="milvus", address=address(port), probe=probes.milvus(address(port)), make=make)


def _triton(settings: LocalSettings, folder: Path, ports: Ports) -> Program:
    if settings.triton_url:
        where = _host_port(settings.triton_url, _TRITON_PORT)
        return _elsewhere("triton", settings.triton_url, _TRITON_PORT, probes.triton(where))
    port = ports.take("triton", _TRITON_PORT)
    models, work_dir = folder / "models", folder / "triton"
    return Program(
        name="triton",
        address=address(port),
        probe=probes.triton(address(port)),
        make=partial(triton_launch, models=models, work_dir=work_dir, grpc_port=port),
        prepare=Launch([sys.executable, "-m", "inference.models", "--out", str(models)]),
        leftovers=shared_memory_pattern(work_dir),
    )


def _elsewhere(name: str, url: str, usual_port: int, probe: Probe) -> Program:
    return Program(name=name, address=_host_port(url, usual_port), probe=probe)


def _service(name: str, listen: str, settings: Mapping[str, str], *, module: str = "") -> Program:
    own = {"SERVER__LISTEN": listen, **settings}
    make = _python(module or name, {f"TROUPE_{name.upper()}__{key}": value for key, value in own.items()})
    return Program(name=name, address=listen, probe=probes.grpc_health(listen), make=make)


def _gateway(listen: str, orchestrator: str) -> Program:
    env = {"TROUPE_GATEWAY__LISTEN": listen, "TROUPE_GATEWAY__BACKENDS": json.dumps([orchestrator])}
    return Program(
        name="gateway", address=listen, probe=probes.http_ok(listen, "/healthz"), make=_python("gateway", env)
    )


def _python(module: str, env: Mapping[str, str]) -> Callable[[], Launch]:
    launch = Launch([sys.executable, "-m", module], env)
    return lambda: launch


def _host_port(url: str, usual_port: int) -> str:
    parts = urlsplit(url if "://" in url else f"//{url}")
    return f"{parts.hostname or '127.0.0.1'}:{parts.port or usual_port}"
