"""The whole stack, as `troupe up` starts it, once a test session."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import running
from troupe.local.launch import Launch, free_port
from troupe.local.stack_file import Member, read_stack


@dataclass(frozen=True)
class Stack:
    """A running stack. Agents of one's own are to be at two addresses, where nobody listens at first."""

    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    agents: tuple[str, str]
    chosen_port: int

    @property
    def members(self) -> dict[str, Member]:
        """What `stack.json` says now: pids change when processes are restarted."""
        return read_stack(self.folder)

    @property
    def target(self) -> str:
        """The orchestrator's address."""
        return self.members["orchestrator"].address


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack on free ports with a data directory of its own. Whoever kills a process waits until it is back.

    Other users can reach the data directory, and it was made open to them: keeping them out is left to the stack.
    """
    own_agents = (f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    chosen_port = free_port()
    with tempfile.TemporaryDirectory(prefix="troupe-stack-") as parent:
        Path(parent).chmod(0o755)
        folder, log = Path(parent, "data"), Path(parent, "up.log")
        folder.mkdir()
        folder.chmod(0o755)
        argv = [sys.executable, "-m", "troupe.cli", "up", "--data-dir", str(folder), "--free-ports"]
        argv += ["--agent", own_agents[0], "--port", f"inference={chosen_port}"]
        settings = {"TROUPE_WORKER__AGENTS": own_agents[1], "TROUPE_GATEWAY__LISTEN": "0.0.0.0:0"}
        with running(Launch(argv, settings), log=log) as process:
            while not read_stack(folder):
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
                pytest.fail(f"`troupe up` ended with {process.returncode}:\n{log.read_text()}")
            yield Stack(folder, process, log, own_agents, chosen_port)
