"""What is done to the deployment, and when: the same for the same seed."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.bench.chaos.deployment import LEASE_SECONDS, Deployment
from tests.bench.chaos.member import Member
from tests.bench.chaos.view import Complain
from tests.support.tcp_proxy import TcpProxy

# How often each fault comes in a deck, which is dealt again and again.
DECK: Final[Mapping[str, int]] = {
    "kill worker": 3,
    "stop worker": 2,
    "pause worker": 2,
    "kill agents": 2,
    "kill orchestrator": 2,
    "kill gateway": 1,
    "kill redis": 1,
    "restart redis": 1,
    "cut link": 1,
    "break link": 1,
    "stall link": 1,
    "slow link": 1,
    "trickle link": 1,
}


@dataclass(frozen=True)
class Fault:
    """One fault: `draw` in [0, 1) picks its victim, `seconds` is how long it lasts."""

    at_seconds: float
    kind: str
    draw: float
    seconds: float


def schedule(rng: Random, *, seconds: float, interval_seconds: float) -> list[Fault]:
    """Faults spread over a time."""
    faults: list[Fault] = []
    deck: list[str] = []
    at = 0.0
    while (at := at + rng.uniform(0.5, 1.5) * interval_seconds) < seconds:
        if not deck:
            deck = [kind for kind, count in DECK.items() for _ in range(count)]
            rng.shuffle(deck)
        kind = deck.pop()
        faults.append(Fault(at, kind, rng.random(), _lasts(rng, kind)))
    return faults


def _lasts(rng: Random, kind: str) -> float:
    if kind in {"pause worker", "stall link", "cut link"}:  # past the lease
        return rng.uniform(1.2, 3) * LEASE_SECONDS
    if kind in {"slow link", "trickle link"}:
        return rng.uniform(1, 5)
    return rng.uniform(0, 1.5)


class Faults:
    """Inflicts faults and counts them."""

    def __init__(self, deployment: Deployment, complain: Complain) -> None:
        self._deployment = deployment
        self._complain = complain
        self.counts: Counter[str] = Counter()
        self._inflict: Mapping[str, Callable[[Fault], Coroutine[None, None, None]]] = {
            "kill worker": lambda fault: self._kill(deployment.workers, fault),
            "stop worker": self._stop,
            "pause worker": self._pause,
            "kill agents": lambda fault: self._kill(deployment.agents, fault),
            "kill orchestrator": lambda fault: self._kill(deployment.orchestrators, fault),
            "kill gateway": lambda fault: self._kill([deployment.gateway], fault),
            "kill redis": self._redis,
            "restart redis": self._redis,
        }

    async def run(self, faults: Sequence[Fault]) -> None:
        """Inflicts each at its time; ends when all are over and all is whole again."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at_seconds - asyncio.get_running_loop().time()))
                group.create_task(self._inflict.get(fault.kind, self._link)(fault))

    async def _kill(self, members: Sequence[Member], fault: Fault) -> None:
        member = members[int(fault.draw * len(members))]
        async with member.busy:
            member.revive(self._complain)
            await member.kill()
            self.counts[fault.kind] += 1
            await asyncio.sleep(fault.seconds)
            member.start()

    async def _stop(self, fault: Fault) -> None:
        workers = self._deployment.workers
        worker = workers[int(fault.draw * len(workers))]
        async with worker.busy:
            worker.revive(self._complain)
            code = await worker.terminate()
            if code not in {0, -signal.SIGTERM}:  # the signal itself ends a process that is still starting
                self._complain(f"{worker.name} ended with {code} after SIGTERM")
            self.counts[fault.kind] += 1
            worker.start()

    async def _pause(self, fault: Fault) -> None:
        workers = self._deployment.workers
        worker = workers[int(fault.draw * len(workers))]
        async with worker.busy:
            worker.revive(self._complain)
            worker.pause()
            self.counts[fault.kind] += 1
            await asyncio.sleep(fault.seconds)
            worker.resume()

    async def _redis(self, fault: Fault) -> None:
        nodes = self._deployment.nodes
        node = nodes[int(fault.draw * len(nodes))]
        async with node.busy:
            await (node.kill_now() if fault.kind == "kill redis" else node.shut_down())
            self.counts[fault.kind] += 1
            await asyncio.sleep(fault.seconds)
            await node.up()

    async def _link(self, fault: Fault) -> None:
        links = self._deployment.links
        link = links[int(fault.draw * len(links))]
        self._disturb(link, fault)
        self.counts[fault.kind] += 1
        await asyncio.sleep(fault.seconds)
        link.heal()

    @staticmethod
    def _disturb(link: TcpProxy, fault: Fault) -> None:
        match fault.kind:
            case "cut link":
                link.cut()
            case "break link":
                link.break_connections()
            case "stall link":
                link.stall()
            case "slow link":
                link.latency_seconds = 0.01 + 0.1 * fault.draw
            case "trickle link":
                link.trickle_bytes = 1 + int(fault.draw * 64)
