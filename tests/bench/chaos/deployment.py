"""The deployment under test: real processes, each worker behind a link of its own to Redis."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.bench.chaos.member import Member
from tests.bench.chaos.store import RedisNode, form_cluster
from tests.bench.chaos.view import Complain
from tests.support.engine import healthy
from tests.support.gateway import fetch
from tests.support.processes import until
from tests.support.tcp_proxy import TcpProxy
from troupe.local.launch import Launch, free_port

LEASE_SECONDS: Final = 1.5
PARTITIONS: Final = 3
_CLUSTER_NODES: Final = 3


class DeploymentError(Exception):
    """The deployment does not come up."""


@dataclass
class Deployment:
    """What runs, by role."""

    folder: Path
    nodes: list[RedisNode]
    links: list[TcpProxy]
    """Between the workers and Redis; in a cluster, in front of each node."""
    orchestrators: list[Member]
    workers: list[Member]
    agents: list[Member]
    gateway: Member
    addresses: list[str]
    """Of the orchestrators."""
    gateway_address: str
    skewed_worker: str | None
    """Name of the worker whose clock is wrong; None when this machine has no libfaketime."""

    @property
    def store_url(self) -> str:
        """Where the harness finds the store: past the links of the workers."""
        return self.nodes[0].url

    @property
    def members(self) -> list[Member]:
        """Every process but Redis."""
        return [*self.orchestrators, *self.workers, *self.agents, self.gateway]

    def revive(self, complain: Complain) -> None:
        """Starts what has ended by itself."""
        for member in self.members:
            member.revive(complain)

    async def ready(self) -> None:
        """Returns when every door serves."""
        for address in self.addresses:
            await healthy(address)
        await until(self._gateway_serves)

    async def _gateway_serves(self) -> bool:
        return (await fetch(self.gateway_address, "GET", "/healthz")).status == 200


@asynccontextmanager
async def deployed(folder: Path, *, workers: int = 3, cluster: bool = False) -> AsyncIterator[Deployment]:
    """Runs a deployment inside the block."""
    async with AsyncExitStack() as stack:
        nodes, links = await _store(stack, folder, cluster=cluster, workers=workers)
        deployment = _processes(folder, nodes, links, workers)
        for member in deployment.members:
            member.start()
            stack.callback(member.stop)
        try:
            await deployment.ready()
        except AssertionError:
            store = "a Redis Cluster" if cluster else "one Redis"
            raise DeploymentError(f"the deployment on {store} does not serve; its logs say why: {folder}") from None
        yield deployment


async def _store(
    stack: AsyncExitStack, folder: Path, *, cluster: bool, workers: int
) -> tuple[list[RedisNode], list[TcpProxy]]:
    links: list[TcpProxy] = []
    nodes: list[RedisNode] = []
    if not cluster:
        node = RedisNode(data_dir=folder / "redis")
        nodes.append(node)
        links = [TcpProxy(target_port=node.port) for _ in range(workers)]
    for place in range(_CLUSTER_NODES if cluster else 0):
        node = RedisNode(data_dir=folder / f"redis{place}")
        link = await stack.enter_async_context(TcpProxy(target_port=node.port).running())
        node.announce(link.port)
        nodes.append(node)
        links.append(link)
    for node in nodes:
        await node.up()
        stack.push_async_callback(node.close)
    if cluster:
        await form_cluster(nodes)
    else:
        for link in links:
            await stack.enter_async_context(link.running())
    return nodes, links


def _processes(folder: Path, nodes: list[RedisNode], links: list[TcpProxy], workers: int) -> Deployment:
    clustered = len(nodes) > 1
    ports = [free_port() for _ in range(5)]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    agents = f'["{addresses[0]}", "{addresses[1]}"]'
    store = f"redis://127.0.0.1:{links[0].port}" if clustered else nodes[0].url
    library = _faketime()
    members = [
        Member("agents", f"agents{i}", _python("tests.bench.chaos.agents", addresses[i], form), logs=folder)
        for i, form in enumerate(("multiplexed", "single"))
    ]
    orchestrators = [
        Member("orchestrator", f"orchestrator{i}", _orchestrator(addresses[2 + i], store, agents), logs=folder)
        for i in (0, 1)
    ]
    fleet = []
    for i in range(workers):
        url = store if clustered else f"redis://127.0.0.1:{links[i].port}"
        launch = _worker(url, agents, library if i == workers - 1 else None)
        fleet.append(Member("worker", f"worker{i}", launch, logs=folder))
    gateway = _python(
        "troupe.gateway",
        TROUPE_GATEWAY__LISTEN=addresses[4],
        TROUPE_GATEWAY__BACKENDS=f'["{addresses[2]}", "{addresses[3]}"]',
        TROUPE_GATEWAY__GRACE_SECONDS="1",
        TROUPE_GATEWAY__ACCESS_LOG="false",
    )
    return Deployment(
        folder=folder,
        nodes=nodes,
        links=links,
        orchestrators=orchestrators,
        workers=fleet,
        agents=members,
        gateway=Member("gateway", "gateway", gateway, logs=folder),
        addresses=addresses[2:4],
        gateway_address=addresses[4],
        skewed_worker=f"worker{workers - 1}" if library else None,
    )


def _python(module: str, *arguments: str, **env: str) -> Launch:
    return Launch([sys.executable, "-m", module, *arguments], env)


def _orchestrator(listen: str, store: str, agents: str) -> Launch:
    return _python(
        "troupe.orchestrator",
        TROUPE_ORCHESTRATOR__SERVER__LISTEN=listen,
        TROUPE_ORCHESTRATOR__SERVER__GRACE_SECONDS="1",
        TROUPE_ORCHESTRATOR__REDIS_URL=store,
        TROUPE_ORCHESTRATOR__PARTITIONS=str(PARTITIONS),
        TROUPE_ORCHESTRATOR__AGENTS=agents,
        TROUPE_ORCHESTRATOR__CHECKPOINT_SECONDS="1",
    )


def _worker(store: str, agents: str, faketime: Path | None) -> Launch:
    skew = {"LD_PRELOAD": str(faketime), "FAKETIME": "+1h", "DONT_FAKE_MONOTONIC": "1"} if faketime else {}
    return _python(
        "troupe.orchestrator.worker",
        TROUPE_WORKER__SERVER__LISTEN="127.0.0.1:0",
        TROUPE_WORKER__SERVER__GRACE_SECONDS="1",
        TROUPE_WORKER__REDIS_URL=store,
        TROUPE_WORKER__PARTITIONS=str(PARTITIONS),
        TROUPE_WORKER__AGENTS=agents,
        TROUPE_WORKER__LEASE_SECONDS=str(LEASE_SECONDS),
        TROUPE_WORKER__MAX_LOST_LEASES="50",
        **skew,
    )


def _faketime() -> Path | None:
    """The library of the wheel `libfaketime`, which shifts a process's clock when it is preloaded."""
    spec = find_spec("libfaketime")
    if spec is None or spec.origin is None:
        return None
    library = Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    return library if library.exists() else None
