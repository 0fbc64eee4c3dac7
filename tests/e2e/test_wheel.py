"""What a stranger gets: the wheel, in an empty environment, outside the source tree."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.processes import running
from troupe.local.launch import Launch, free_port

ROOT = Path(__file__).parents[2]
# Building and installing take the network, or a cache, and a minute at most; a slow machine gets ten.
pytestmark = pytest.mark.timeout(900)

# The page's agent beside a package that is called `agents`, asked as an orchestrator asks it.
AN_AGENT = """\
import re, signal, subprocess, sys
import agents, grpc
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceStub

assert agents.Agent.__module__.partition(".")[0] == "agents"
code = re.search("```python\\n(.*?)```", open(sys.argv[1]).read(), re.DOTALL)[1]
open("agent.py", "w").write(code.replace("127.0.0.1:50060", sys.argv[2]))
server = subprocess.Popen([sys.executable, "agent.py"], stdout=sys.stderr)
with grpc.insecure_channel(sys.argv[2]) as channel:
    step = pb.ExecuteRequest(
        task_id="t",
        step_id="s",
        agent="counter",
        attempt=1,
        idempotency_key="k",
        project="p",
        instruction="one two three",
    )
    answers = AgentServiceStub(channel).Execute(step, wait_for_ready=True, timeout=300)
    print([answer.output.text for answer in answers])
server.send_signal(signal.SIGTERM)
print(server.wait())
"""


def run(*argv: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, env=env, cwd=cwd, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}\n{done.stderr}"
    return done.stdout


class Environment:
    """An empty environment of the same Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=True)
        self.python = folder / "bin" / "python"
        # Nothing of the tree that the tests run in reaches what is installed here.
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TROUPE_"))}
        self.env["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"

    def install(self, *requirements: str) -> None:
        """With the versions that the project is tested with; by uv where it is here, which is quick."""
        by_uv = (sys.executable, "-m", "uv", "pip", "install", "-q", "--python", self.python)
        by_pip = (self.python, "-m", "pip", "install", "-q")
        run(*(by_uv if find_spec("uv") else by_pip), "-c", ROOT / "constraints.txt", *requirements)

    def troupe(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command outside the tree."""
        argv = [str(self.folder / "bin" / "troupe"), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, env=self.env, cwd=self.folder, check=False)

    def run(self, *arguments: str) -> str:
        """Runs Python outside the tree."""
        return run(self.python, *arguments, env=self.env, cwd=self.folder)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the source distribution, as a release is."""
    out = tmp_path_factory.mktemp("dist")
    installer = ["--installer", "uv"] if find_spec("uv") else []
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run(sys.executable, "-m", "build", *installer, "--outdir", out, ROOT, env=env)
    (made,) = out.glob("*.whl")
    return made


def test_it_is_one_package_with_its_contracts_licences_and_page(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {re.split("[/-]", name)[0] for name in names} == {"troupe"}
    contracts = {str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto" / "troupe").rglob("*.proto")}
    assert {f"troupe/proto/{name}" for name in contracts} <= set(names)
    assert "troupe/py.typed" in names
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names if ".dist-info/licenses/" in name}
    sources = [
        path for folder in ("agents", "gateway", "inference", "orchestrator") for path in (ROOT / folder).rglob("*")
    ]
    wanted = [path for path in sources if path.suffix in (".py", ".lua", ".pbtxt") and "console" not in path.parts]
    assert {f"troupe/{path.relative_to(ROOT)}" for path in wanted} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "node_modules" in name or "/tests/" in name]


def test_bare_it_is_a_client_beside_any_other_package(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(str(wheel), "openai-agents")
    helped = environment.troupe("--help")
    assert helped.returncode == 0
    assert "Traceback" not in helped.stderr
    for arguments, extra in ((("up",), "local"), (("demo", "."), "local")):
        refused = environment.troupe(*arguments)
        assert refused.returncode == 2
        assert f"pip install 'troupe[{extra}]'" in refused.stderr
        assert refused.stderr.count("\n") == 1
    unreachable = environment.troupe("tasks", "--target", "127.0.0.1:1")
    assert unreachable.returncode == 2
    assert "no orchestrator answers at 127.0.0.1:1" in unreachable.stderr
    for module, extra in (("orchestrator", "orchestrator"), ("orchestrator.worker", "orchestrator"),
                          ("agents", "agents"), ("inference", "inference"), ("gateway", "gateway")):  # fmt: skip
        argv = [str(environment.python), "-m", f"troupe.{module}"]
        done = subprocess.run(argv, capture_output=True, text=True, env=environment.env, cwd=tmp_path, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert f"pip install 'troupe[{extra}]'" in done.stderr
    address = f"127.0.0.1:{free_port()}"
    assert environment.run("-c", AN_AGENT, str(ROOT / "docs" / "agents.md"), address) == "['3 words']\n0\n"


def test_with_its_extra_it_runs_a_task(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(f"{wheel}[local]")
    data = tmp_path / "data"
    environment.env["TROUPE_LOCAL__DATA_DIR"] = str(data)
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "leases.md").write_text("# Leases\n\nA lease lasts thirty seconds and is renewed by its worker.\n")
    launch = Launch([str(environment.folder / "bin" / "troupe"), "up", "--free-ports"], environment.env)
    with running(launch, log=tmp_path / "up.log") as stack:
        _until_up(tmp_path / "up.log")
        answered = environment.troupe("run", "--docs", str(documents), "How long does a lease last?")
        assert answered.returncode == 0, answered.stderr
        assert "thirty seconds" in answered.stdout
        listed = [json.loads(line) for line in environment.troupe("tasks", "--json").stdout.splitlines()]
        assert [task["state"] for task in listed] == ["TASK_STATE_COMPLETED"]
        assert environment.troupe("down").returncode == 0
        assert stack.wait() == 0


def _until_up(log: Path) -> None:
    """The weights of the embedder are fetched meanwhile, unless they were before."""
    command = ["tail", "-n", "+1", "-F", str(log)]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as followed:
        assert followed.stdout is not None
        for line in followed.stdout:
            said.append(line)
            if "processes ready in" in line or "troupe:" in line:
                break
        followed.kill()
    assert "processes ready in" in said[-1], "".join(said)
