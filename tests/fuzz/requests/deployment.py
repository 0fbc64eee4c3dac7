"""What is asked: every process of a deployment, with models that cost nothing."""

import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.engine import healthy
from tests.support.inference import until_health
from tests.support.milvus import MilvusServer
from tests.support.processes import running, until
from tests.support.redis import RedisServer
from troupe.core.channels import open_channel
from troupe.local.launch import Launch, free_port

_DEFECTS: Final = ("Traceback", "handler failed", "Unexpected [", "Fatal Python error", "was never retrieved")


@dataclass
class Deployment:
    """Its processes: addresses, channels without retries, logs and memory."""

    folder: Path
    at: Mapping[str, str]
    channels: Mapping[str, Any] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def rss_bytes(self) -> Mapping[str, int]:
        """Memory by process."""
        return {name: _rss_bytes(process.pid) for name, process in self.processes.items()}

    def defects(self) -> list[str]:
        """Processes that ended, and lines of logs that tell of defects."""
        ended = [f"{name} ended with {p.poll()}" for name, p in self.processes.items() if p.poll() is not None]
        return ended + [line for name in self.processes for line in _bad_lines(self.folder / f"{name}.log")]


def _rss_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def _bad_lines(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()
    return [f"{log.name}: {line[:2_000]}" for line in lines if any(mark in line for mark in _DEFECTS)]


@asynccontextmanager
async def deployed(folder: Path) -> AsyncIterator[Deployment]:
    """Runs it inside the block, once every process answers."""
    names = ("models", "inference", "agents", "orchestrator", "worker", "gateway")
    at = {name: f"127.0.0.1:{free_port()}" for name in names}
    deployment = Deployment(folder, at)
    with ExitStack() as stack:
        redis, milvus = RedisServer(data_dir=folder), MilvusServer(data_dir=folder)
        for server in (redis, milvus):
            stack.callback(server.stop)
            server.start()
        for name, (module, env) in _programs(at, redis.url, milvus.uri).items():
            launch = Launch([sys.executable, "-m", *module.split()], env)
            process = stack.enter_context(running(launch, log=folder / f"{name}.log"))
            deployment.processes[name] = process
        for name in ("models", "agents", "orchestrator", "worker"):
            await healthy(at[name])
        await until_health(at["inference"], serving=False)  # it has no Triton
        async with AsyncExitStack() as channels:
            deployment.channels = {
                name: await channels.enter_async_context(open_channel(address, retries=False))
                for name, address in at.items()
            }
            await until(lambda: _answers(deployment))
            yield deployment


async def _answers(deployment: Deployment) -> bool:
    call = deployment.channels["gateway"].unary_unary("/grpc.health.v1.Health/Check")(b"")
    return bool(await call.code() == 0 or (await call.code()).name == "OK")


def _programs(at: Mapping[str, str], redis_url: str, milvus_uri: str) -> Mapping[str, tuple[str, Mapping[str, str]]]:
    agents, nobody = f'["{at["agents"]}"]', "127.0.0.1:1"
    return {
        "models": (f"tests.fuzz.requests.models {at['models']}", {}),
        "inference": (
            "troupe.inference",
            {
                "TROUPE_INFERENCE__SERVER__LISTEN": at["inference"],
                "TROUPE_INFERENCE__BACKENDS__TRITON__URL": nobody,
                "GEMINI_API_KEY": "",
            },
        ),
        "agents": (
            "troupe.agents",
            {
                "TROUPE_AGENTS__SERVER__LISTEN": at["agents"],
                "TROUPE_AGENTS__MILVUS_URI": milvus_uri,
                "TROUPE_AGENTS__INFERENCE_ADDRESS": at["models"],
            },
        ),
        "orchestrator": (
            "troupe.orchestrator",
            {
                "TROUPE_ORCHESTRATOR__SERVER__LISTEN": at["orchestrator"],
                "TROUPE_ORCHESTRATOR__REDIS_URL": redis_url,
                "TROUPE_ORCHESTRATOR__AGENTS": agents,
                "TROUPE_ORCHESTRATOR__MEMORY_ADDRESS": at["agents"],
                "TROUPE_ORCHESTRATOR__INFERENCE_ADDRESS": at["models"],
                "TROUPE_ORCHESTRATOR__CHECKPOINT_SECONDS": "0.5",
            },
        ),
        "worker": (
            "troupe.orchestrator.worker",
            {
                "TROUPE_WORKER__SERVER__LISTEN": at["worker"],
                "TROUPE_WORKER__REDIS_URL": redis_url,
                "TROUPE_WORKER__AGENTS": agents,
            },
        ),
        "gateway": (
            "troupe.gateway",
            {
                "TROUPE_GATEWAY__LISTEN": at["gateway"],
                "TROUPE_GATEWAY__BACKENDS": f'["{at["orchestrator"]}"]',
                "TROUPE_GATEWAY__REFLECTION": "true",
            },
        ),
    }
