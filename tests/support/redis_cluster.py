"""A real Redis Cluster for tests: three masters, each with a replica."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import hiredis
import pytest

from tests.support.processes import running
from tests.support.redis import as_services, launch_on_port
from troupe.local.launch import Launch, free_port
from troupe.orchestrator.redis.endpoint import Address
from troupe.orchestrator.redis.hash_slots import SLOTS, key_slot, masters_and_replicas

NODE_TIMEOUT_MS: Final = 1_000
# On a machine that stands still for a second nothing fails over by itself, which would lose what no replica has yet.
PATIENT_TIMEOUT_MS: Final = 20_000
_MASTERS: Final = 3
_BUS_OFFSET: Final = 10_000
_HOST: Final = "127.0.0.1"
_DEADLINE_SECONDS: Final = 20.0


def _free_port_with_bus() -> int:
    """A port that is free together with the one that Redis takes for the cluster's bus: 6.2 cannot be told another."""
    while True:
        port = free_port()
        if port + _BUS_OFFSET < 1 << 16 and free_port(port + _BUS_OFFSET) == port + _BUS_OFFSET:
            return port


@dataclass
class ClusterNode:
    """A server in cluster mode that can be killed and started again on its data."""

    data_dir: Path
    stack: ExitStack
    timeout_ms: int
    port: int = field(default_factory=_free_port_with_bus)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        options = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(self.timeout_ms),
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": "0",
            # Redis 7 lists a replica in CLUSTER SLOTS once it has received something.
            "repl-ping-replica-period": "1",
        }
        launch = launch_on_port(self.data_dir, self.port)
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process = self.stack.enter_context(
            running(Launch([*launch.argv, *words], launch.env), log=self.data_dir / "redis.log")
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, *command: str | bytes | int) -> Any:
        """Sends one command over a connection of its own."""
        reader = hiredis.Reader()
        with socket.create_connection((_HOST, self.port), timeout=2) as connection:
            connection.sendall(hiredis.pack_command(command))
            while (reply := reader.gets()) is False:
                if not (data := connection.recv(1 << 16)):
                    raise ConnectionError(f"the Redis at {self.port} hung up")
                reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def knows(self, node_id: bytes) -> bool:
        """Whether it has met a node."""
        return node_id in self.ask("CLUSTER", "NODES")

    def serves(self) -> bool:
        """Whether it knows all slots, and its master when it is a replica."""
        try:
            state, role = self.ask("CLUSTER", "INFO"), self.ask("ROLE")
        except (OSError, hiredis.ReplyError):
            return False
        return b"cluster_state:ok" in state and (role[0] == b"master" or role[3] == b"connected")


class RedisCluster:
    """The same surface as `RedisServer`, and failovers."""

    def __init__(self, *, data_dir: Path, node_timeout_ms: int = NODE_TIMEOUT_MS) -> None:
        self._stack = ExitStack()
        folders = (data_dir / str(number) for number in range(2 * _MASTERS))
        self.nodes = [ClusterNode(folder, self._stack, node_timeout_ms) for folder in folders]

    @property
    def url(self) -> str:
        return "redis://" + ",".join(f"{_HOST}:{node.port}" for node in self.nodes)

    @property
    def service_url(self) -> str:
        return as_services(self.url)

    def start(self) -> None:
        """Starts those nodes that do not run; the first time makes them a cluster."""
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None:
                node.start()
        _wait(lambda: all(_answers(node) for node in self.nodes))
        if b"cluster_slots_assigned:0" in self.nodes[0].ask("CLUSTER", "INFO"):
            self._form()
        _wait(lambda: all(node.serves() for node in self.nodes) and self._agree())

    def reset(self) -> None:
        """Starts those nodes that do not run, and empties all."""
        self.start()
        for master in self.masters:
            master.ask("FLUSHALL")

    def kill(self) -> None:
        """SIGKILL for every node."""
        for node in self.nodes:
            node.kill()

    def stop(self) -> None:
        """Hard: a replica that writes its first append-only file refuses SIGTERM."""
        self.kill()
        self._stack.close()

    @property
    def processes(self) -> list["subprocess.Popen[bytes]"]:
        """The processes that were started, running or not."""
        return [node.process for node in self.nodes if node.process is not None]

    @property
    def masters(self) -> list[ClusterNode]:
        """The masters that hold slots, as a living node sees them."""
        return [master for _, master, _ in self._holders()]

    def master_of(self, key: str) -> ClusterNode:
        return next(master for slots, master, _ in self._holders() if key_slot(key) in slots)

    def replica_of(self, key: str) -> ClusterNode:
        return next(replicas[0] for slots, _, replicas in self._holders() if key_slot(key) in slots)

    def kill_master_of(self, key: str) -> None:
        """SIGKILL; the replica takes over after the node timeout and an election."""
        self.master_of(key).kill()

    def _form(self) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", _HOST, first.port)
        masters, replicas = self.nodes[:_MASTERS], self.nodes[_MASTERS:]
        for number, master in enumerate(masters):
            share = range(SLOTS * number // _MASTERS, SLOTS * (number + 1) // _MASTERS)
            master.ask("CLUSTER", "ADDSLOTS", *share)
        ids = [master.ask("CLUSTER", "MYID") for master in masters]
        for master_id, replica in zip(ids, replicas, strict=True):
            _wait(partial(replica.knows, master_id))
            replica.ask("CLUSTER", "REPLICATE", master_id)

    def _agree(self) -> bool:
        """Whether all nodes know who replicates whom: a master refuses failovers by replicas unknown to it."""
        views = [{(m.port, *(r.port for r in replicas)) for _, m, replicas in self._seen_by(n)} for n in self.nodes]
        return all(view == views[0] and {len(shard) for shard in view} == {2} for view in views)

    def _holders(self) -> list[tuple[range, ClusterNode, list[ClusterNode]]]:
        living = next(node for node in self.nodes if node.process is not None and node.process.poll() is None)
        return self._seen_by(living)

    def _seen_by(self, node: ClusterNode) -> list[tuple[range, ClusterNode, list[ClusterNode]]]:
        by_port = {node.port: node for node in self.nodes}
        rows = masters_and_replicas(node.ask("CLUSTER", "SLOTS"), Address(_HOST, node.port))
        return [(slots, by_port[m.port], [by_port[r.port] for r in replicas]) for slots, (m, *replicas) in rows]


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A Redis Cluster for the whole session; whoever kills nodes starts them again."""
    cluster = RedisCluster(data_dir=tmp_path_factory.mktemp("redis-cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _answers(node: ClusterNode) -> bool:
    try:
        node.ask("CLUSTER", "MYID")
    except (OSError, hiredis.ReplyError):
        return False
    return True


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the Redis Cluster does not come up"
        time.sleep(0.02)
