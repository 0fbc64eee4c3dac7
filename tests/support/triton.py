"""A real tritonserver with the project's models, one for the whole run."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import running
from troupe.inference.models.repository import prepare
from troupe.inference.models.settings import ModelsSettings, chat_weights_file, weights_folder
from troupe.local.launch import Launch, free_port
from troupe.local.servers.triton import clean_shared_memory, triton_launch


@pytest.fixture(scope="session")
def model_repository() -> Path:
    """The prepared models, kept between runs beside the built graph; tests must not write into it."""
    settings = ModelsSettings.load()
    checkout = hashlib.sha256(str(Path(__file__).resolve()).encode()).hexdigest()[:8]  # checkouts must not share one
    repository = settings.cache.expanduser() / f"test-repository-{checkout}"
    chat = chat_weights_file(settings)
    prepare(repository, weights=weights_folder(settings), cache=settings.cache, chat_weights=chat)
    return repository


@pytest.fixture
def endless_repository(tmp_path: Path) -> Path:
    """A repository with a generator that ends only when it is cancelled."""
    return shutil.copytree(Path(__file__).parent / "models", tmp_path / "models")


class TritonServer:
    """A tritonserver that can be killed and started again at the same address."""

    def __init__(self, models: Path, work_dir: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.log = work_dir / "triton.log"
        self._models = models
        self._work_dir = work_dir

    def launch(self) -> Launch:
        """Its command line."""
        port = int(self.address.rpartition(":")[2])
        return triton_launch(models=self._models, work_dir=self._work_dir, grpc_port=port)

    def clean(self) -> None:
        """Removes what a killed server leaves behind."""
        clean_shared_memory(self._work_dir)


@pytest.fixture(scope="session")
def triton_address(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address (gRPC) of a tritonserver with `embedder` and `generator`. It may still be loading them."""
    server = TritonServer(model_repository, tmp_path_factory.mktemp("triton"))
    with running(server.launch(), log=server.log):
        yield server.address
    server.clean()


@pytest.fixture
def own_triton(model_repository: Path, tmp_path: Path) -> Iterator[TritonServer]:
    """A server for one test that kills it; not started yet."""
    server = TritonServer(model_repository, tmp_path)
    yield server
    server.clean()


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The ids of a process's children: for tritonserver, the stubs of its models."""
    tasks = Path(f"/proc/{process.pid}/task")
    return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
