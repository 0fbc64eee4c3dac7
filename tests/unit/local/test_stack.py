"""What a person has set for a service reaches it, though a stack decides some of it by itself."""

import json
from pathlib import Path

import pytest

from troupe.core.settings import SettingsError
from troupe.local.errors import StackError
from troupe.local.given import Given
from troupe.local.launch import free_port
from troupe.local.ports import Ports
from troupe.local.program import Program
from troupe.local.settings import LocalSettings
from troupe.local.stack import Stack

# For each setting that a stack decides: what a person may have set.
VALUES = {
    "LISTEN": "127.0.0.1:{port}",
    "SERVER__LISTEN": "127.0.0.1:{port}",
    "AGENTS": "10.0.0.1:7000",
    "BACKENDS": '["10.0.0.1:7001"]',
    "REDIS_URL": "redis://me:secret@10.0.0.1:7002/3",
    "MILVUS_URI": "http://10.0.0.1:7003",
    "BACKENDS__TRITON__URL": "10.0.0.1:7004",
    "BACKENDS__CHAT__KIND": "gemini",
    "BACKENDS__CHAT__URL": "10.0.0.1:7007",
    "BACKENDS__CHAT__MODELS": '{{"mine": {{"kind": "generator"}}}}',
    "INFERENCE_ADDRESS": "10.0.0.1:7005",
    "MEMORY_ADDRESS": "10.0.0.1:7006",
}


def programs(folder: Path, settings: LocalSettings | None = None) -> dict[str, Program]:
    given = Given.load()
    ports = Ports(note=lambda _: None, wanted=given.listen, prefer_usual=False)
    stack = Stack(settings or LocalSettings.load(), given, ports, folder=folder, sockets=folder)
    return {program.name: program for program in stack.programs()}


def told(folder: Path) -> dict[str, str]:
    """Every variable that a stack sets."""
    made = [program.make() for program in programs(folder).values() if program.make and program.kind in GRPC_OR_HTTP]
    return {name: value for launch in made for name, value in launch.env.items() if name.startswith("TROUPE_")}


GRPC_OR_HTTP = ("grpc", "http")


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decided = told(tmp_path)
    assert len(decided) >= 14
    for variable in decided:
        value = VALUES[variable.partition("__")[2]].format(port=free_port())
        with monkeypatch.context() as given:
            given.setenv(variable, value)
            now = told(tmp_path).get(variable, value)
        assert now == value or value in json.loads(now), variable


def test_agents_are_added_to_the_built_in_ones_for_both_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE_WORKER__AGENTS", "127.0.0.1:1,127.0.0.1:2")
    monkeypatch.setenv("TROUPE_ORCHESTRATOR__AGENTS", '["127.0.0.1:2", "127.0.0.1:3"]')
    settings = LocalSettings.load().model_copy(update={"agents": ("127.0.0.1:4", "127.0.0.1:1")})
    made = programs(tmp_path, settings)
    for name in ("orchestrator", "worker"):
        make = made[name].make
        assert make is not None
        builtin, *own = json.loads(make().env[f"TROUPE_{name.upper()}__AGENTS"])
        assert builtin == made["agents"].address
        assert own == ["127.0.0.1:4", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]
    waited_for = [program for program in made.values() if program.kind == "agents"]
    assert [program.address for program in waited_for] == own
    assert all(program.optional for program in waited_for)


def test_the_built_in_agents_named_again_are_none_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("TROUPE_AGENTS__SERVER__LISTEN", f"127.0.0.1:{port}")
    monkeypatch.setenv("TROUPE_WORKER__AGENTS", f"127.0.0.1:{port}")
    assert [p for p in programs(tmp_path).values() if p.kind == "agents"] == []


def test_the_file_counts_as_the_variables_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    (tmp_path / "troupe.toml").write_text(
        f'[gateway]\nlisten = "0.0.0.0:{port}"\ntls_certificate = "c.pem"\n[worker]\nagents = ["127.0.0.1:5"]\n'
        "lease_seconds = 3\n[worker.server]\ngrace_seconds = 60\nadmin = '127.0.0.1:9'\n"
    )
    monkeypatch.setenv("TROUPE_CONFIG", str(tmp_path / "troupe.toml"))
    made = programs(tmp_path)
    assert (made["gateway"].address, made["gateway"].kind) == (f"127.0.0.1:{port}", "https")
    make = made["gateway"].make
    assert make is not None
    assert make().env["TROUPE_GATEWAY__LISTEN"] == f"0.0.0.0:{port}"
    assert made["worker"].grace_seconds > 60
    assert "agent 127.0.0.1:5" in made


def test_servers_that_run_already_are_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_WORKER__REDIS_URL", "redis://:secret@a:1,b:2")
    monkeypatch.setenv("TROUPE_AGENTS__MILVUS_URI", "http://m")
    monkeypatch.setenv("TROUPE_INFERENCE__BACKENDS__TRITON__URL", "unix:/run/triton.sock")
    made = programs(tmp_path)
    where = {name: made[name].address for name in ("redis", "milvus", "triton")}
    assert where == {"redis": "a:1", "milvus": "m:19530", "triton": "unix:/run/triton.sock"}
    assert all(made[name].make is None for name in where)


def test_what_the_stack_is_told_goes_before_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_LOCAL__REDIS_URL", "redis://:secret@a")
    monkeypatch.setenv("TROUPE_LOCAL__TRITON_URL", "t:1")
    monkeypatch.setenv("TROUPE_WORKER__REDIS_URL", "redis://:secret@b")
    monkeypatch.setenv("TROUPE_INFERENCE__TRITON_URL", "t:1")
    given = Given.load()
    ports = Ports(note=print, prefer_usual=False)
    stack = Stack(LocalSettings.load(), given, ports, folder=tmp_path, sockets=tmp_path)
    assert stack.notes == ["`redis_url` of the services is not used: the stack is told to use another"]
    assert stack.programs()[0].address == "a:6379"


def test_one_stack_has_one_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_WORKER__REDIS_URL", "redis://:secret@a")
    monkeypatch.setenv("TROUPE_ORCHESTRATOR__REDIS_URL", "redis://:secret@b")
    with pytest.raises(
        SettingsError, match=r"`orchestrator\.redis_url` and `worker\.redis_url` name different"
    ) as said:
        programs(tmp_path)
    assert "secret" not in str(said.value)


@pytest.mark.parametrize("url", ["redis://", "redis://:secret@", "redis://h:secret", "secret://"])
def test_an_address_that_is_none_is_refused_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TROUPE_LOCAL__REDIS_URL", url)
    with pytest.raises(StackError, match="the address of redis is none") as said:
        programs(tmp_path)
    assert "secret" not in str(said.value)


@pytest.mark.parametrize("listen", ["8080", "localhost", "host:99999", "http://host:1", "a b:1"])
def test_an_address_to_listen_on_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    monkeypatch.setenv("TROUPE_WORKER__SERVER__LISTEN", listen)
    with pytest.raises(SettingsError, match=r"`worker\.server\.listen` = .* is no HOST:PORT"):
        Given.load()


def test_services_that_disagree_do_not_matter_where_the_stack_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE_ORCHESTRATOR__REDIS_URL", "redis://10.0.0.1:1")
    monkeypatch.setenv("TROUPE_WORKER__REDIS_URL", "redis://10.0.0.2:2")
    settings = LocalSettings(redis_url="redis://10.0.0.3:3")
    given = Given.load()
    ports = Ports(note=lambda _: None, wanted=given.listen, prefer_usual=False)
    stack = Stack(settings, given, ports, folder=tmp_path, sockets=tmp_path)
    assert stack.notes == ["`redis_url` of the services is not used: the stack is told to use another"]
