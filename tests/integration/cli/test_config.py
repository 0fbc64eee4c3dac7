"""`troupe config show`: what every process would read, and from where."""

import json
from pathlib import Path

from tests.support.command_line import troupe, troupe_on_terminal


async def test_values_of_all_services_are_shown_with_their_origin(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[gateway]\ngrace_seconds = 3\n[gatway]\nlisten = '127.0.0.1:1'\n")
    env = {
        "TROUPE_CONFIG": str(file),
        "TROUPE_ORCHESTRATOR__REDIS_URL": "redis://user:ge%2Fheim@host:6379/0",
        "TROUPE_WORKER__AGENTS": "a:1,b:2",
        "TROUPE_WORKER__AGENT": "c:3",
        "GEMINI_API_KEY": "geheim",
    }
    ended = await troupe("config", "show", env=env)
    assert ended.code == 0
    lines = dict(line.split("\t", 1) for line in ended.out.decode().splitlines())
    assert lines["gateway.grace_seconds"] == f"3.0\t{file}"
    assert lines["orchestrator.redis_url"] == "redis://***@host:6379/0\tTROUPE_ORCHESTRATOR__REDIS_URL"
    assert lines["worker.agents"] == '["a:1", "b:2"]\tTROUPE_WORKER__AGENTS'
    assert lines["inference.gemini_api_key"] == "***\tGEMINI_API_KEY"
    assert lines["agents.milvus_uri"] == "http://127.0.0.1:19530\tdefault"
    assert {name.partition(".")[0] for name in lines} == {
        *("orchestrator", "worker", "agents", "inference", "models", "gateway", "log", "telemetry", "client", "local")
    }
    assert b"heim" not in ended.out + ended.err
    assert ended.err.decode().splitlines() == [
        "troupe: variable TROUPE_WORKER__AGENT is no setting; did you mean `TROUPE_WORKER__AGENTS`?",
        f"troupe: table [gatway] in '{file}' is of no service; did you mean `gateway`?",
    ]


async def test_one_section_as_json_with_a_value_that_is_wrong() -> None:
    ended = await troupe("config", "show", "worker", "--json", env={"TROUPE_WORKER__LEASE_SECONDS": "soon"})
    assert ended.code == 2
    assert ended.complaint == (
        "troupe: setting `worker.lease_seconds` = 'soon': must be a valid number, unable to parse string as a number"
        " (variable TROUPE_WORKER__LEASE_SECONDS)"
    )
    values = {value["setting"]: value for value in map(json.loads, ended.out.splitlines())}
    assert values["worker.lease_seconds"]["value"] == "soon"
    assert values["worker.lease_seconds"]["origin"] == "TROUPE_WORKER__LEASE_SECONDS"
    assert all(name.startswith("worker.") for name in values)


async def test_a_section_that_there_is_not(tmp_path: Path) -> None:
    ended = await troupe("config", "show", "gatway", env={"TROUPE_CONFIG": str(tmp_path / "none")})
    assert (ended.code, ended.out) == (2, b"")
    assert ended.complaint == "troupe: there is no section 'gatway'; did you mean `gateway`?"


async def test_on_a_terminal_it_is_a_table() -> None:
    code, shown = await troupe_on_terminal("config", "show", "client", env={"TROUPE_CLIENT__TARGET": "here:1"})
    assert code == 0
    assert b"here:1" in shown
    assert b"TROUPE_CLIENT__TARGET" in shown
