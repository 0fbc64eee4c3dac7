"""The whole stack, as `troupe up` starts it, once a test session."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import running
from troupe.local.launch import Launch
from troupe.local.stack_file import Member, read_stack


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def members(self) -> dict[str, Member]:
        """What `stack.json` says now: pids change when processes are restarted."""
        return read_stack(self.folder)

    @property
    def target(self) -> str:
        """The orchestrator's address."""
        return self.members["orchestrator"].address


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on free ports with a data directory of its own. Whoever kills a process waits until it is back."""
    folder = tmp_path_factory.mktemp("stack")
    argv = [sys.executable, "-m", "troupe.cli", "up", "--data-dir", str(folder), "--free-ports"]
    log = folder / "up.log"
    with running(Launch(argv), log=log) as process:
        while not read_stack(folder):
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"`troupe up` ended with {process.returncode}:\n{log.read_text()}")
        yield Stack(folder, process)
