"""Every setting of every service: a wrong value is one line, and no line and no view of the settings holds a secret."""

import json
import typing
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from troupe.agents.settings import AgentsSettings
from troupe.client.settings import ClientSettings
from troupe.core.logs import LogSettings
from troupe.core.masking import holds_secret
from troupe.core.settings import CONFIG_VARIABLE, ServiceSettings, SettingsError
from troupe.core.settings_view import section_of, unknown_variables
from troupe.core.telemetry.settings import TelemetrySettings
from troupe.gateway.settings import GatewaySettings
from troupe.inference.models.settings import ModelsSettings
from troupe.inference.settings import InferenceSettings
from troupe.local.settings import LocalSettings
from troupe.orchestrator.settings import OrchestratorSettings, WorkerSettings

MODELS: list[type[ServiceSettings]] = [
    OrchestratorSettings,
    WorkerSettings,
    AgentsSettings,
    InferenceSettings,
    ModelsSettings,
    GatewaySettings,
    ClientSettings,
    LocalSettings,
    LogSettings,
    TelemetrySettings,
]
# Halves that no message may hold, around signs that mean something in URLs, TOML, JSON and shells.
_SIGNS = [
    "/",
    "@",
    "#",
    "?",
    ":",
    "%",
    "%2",
    "&",
    "=",
    " ",
    ",",
    '"',
    "'",
    "\\",
    "[",
    "]",
    "ä",
    "℀",
    "\n",
    "\x1b",
    "://",
    "@/",
]
_HALVES = ("GEHEIM", "NIEMAND")
_FORMS = [
    "{}",
    "redis://user:{}@host:6379/0",
    "redis://:{}@host:99999/0",
    "http://user:{}@host:19530",
    "redis://user:{}",
    "user:{}@host:1",
    '["{}"]',
    '{{"secrets": ["{}"]}}',
]
_PLAIN = ("{}", '["{}"]', '{{"secrets": ["{}"]}}')


def leaves(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in model.model_fields.items():
        inside = field.annotation
        yield (*path, name), inside
        if isinstance(inside, type) and issubclass(inside, BaseModel):
            yield from leaves(inside, (*path, name))


def takes_secrets(annotation: Any) -> bool:
    """Settings that are secrets, hold some, or are texts that a URL with a password may be put into."""
    return holds_secret(annotation) or str in (annotation, *typing.get_args(annotation))


SECRETIVE = [(model, path) for model in MODELS for path, kind in leaves(model, ()) if takes_secrets(kind)]


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def told(model: type[ServiceSettings]) -> str:
    """All that is ever said of the settings."""
    said = json.dumps(asdict(section_of(model)), ensure_ascii=False)
    try:
        model.load()
    except SettingsError as error:
        said += str(error)
    return said


@pytest.mark.parametrize(("model", "path"), SECRETIVE)
def test_no_secret_is_told(
    model: type[ServiceSettings], path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = dict(leaves(model, ()))[path]
    secret, listed = holds_secret(kind), kind is not str and str in typing.get_args(kind)
    for sign in _SIGNS:
        if listed and sign == ",":  # which stands between values
            continue
        for form in _FORMS:
            if not secret and (form in _PLAIN or ("@" in sign and "@" not in form)):
                continue  # what is no URL and no secret may be shown, and what stands behind an @ looks like a host
            monkeypatch.setenv("__".join((f"TROUPE_{model.section}", *path)).upper(), form.format(sign.join(_HALVES)))
            said = told(model)
            assert "\n" not in said
            assert not any(half in said for half in _HALVES), (form, sign, said)


def test_every_service_has_a_setting_that_holds_secrets_where_it_logs_in() -> None:
    told_of = {".".join((model.section, *path)) for model, path in SECRETIVE}
    assert {
        "orchestrator.redis_url",
        "worker.redis_url",
        "worker.webhooks.secrets",
        "agents.milvus_uri",
        "agents.memory.milvus_token",
        "inference.gemini_api_key",
        "telemetry.otlp_endpoint",
        "local.redis_url",
    } <= told_of


@pytest.mark.parametrize(
    ("variable", "value", "model", "problem"),
    [
        ("TROUPE_WORKER__AGENTS", "localhost", WorkerSettings, "`worker.agents[0]` = 'localhost': must be host:port"),
        ("TROUPE_WORKER__AGENTS", "a:1,b:70000", WorkerSettings, "`worker.agents[1]` = 'b:70000': must be host:port"),
        ("TROUPE_WORKER__AGENTS", '["a:1"', WorkerSettings, "`worker.agents` = '[\"a:1\"': must be a list"),
        ("TROUPE_WORKER__AGENTS", "http://a:1", WorkerSettings, "without http:// before it"),
        ("TROUPE_GATEWAY__LISTEN", "8080", GatewaySettings, "= '8080': must be host:port"),
        ("TROUPE_GATEWAY__LISTEN", "127.0.0.1:65536", GatewaySettings, "the port is 0 to 65535"),
        ("TROUPE_GATEWAY__LISTEN", "127.0.0.1:-1", GatewaySettings, "must be host:port"),
        ("TROUPE_ORCHESTRATOR__SERVER", "8080", OrchestratorSettings, "must be a table: set its fields one by one"),
        ("TROUPE_ORCHESTRATOR__SERVER__PORT", "1", OrchestratorSettings, "there is no such setting"),
        ("TROUPE_ORCHESTRATOR__PARTITIONS", "many", OrchestratorSettings, "= 'many': must be a valid integer"),
        ("TROUPE_WORKER__RETRY__MAX_ATEMPTS", "3", WorkerSettings, "did you mean `max_attempts`?"),
        ("TROUPE_LOG__LEVEL", "loud", LogSettings, "must be 'debug', 'info', 'warning' or 'error'"),
        ("TROUPE_TELEMETRY__OTLP_ENDPOINT", "collector:4317", TelemetrySettings, "= 'collector:4317': must match"),
        ("TROUPE_CLIENT__TARGET", "localhost", ClientSettings, "= 'localhost': must be host:port"),
        ("TROUPE_AGENTS__EXECUTION", "[" * 100_000, AgentsSettings, "must be a table"),
    ],
)
def test_a_wrong_value_is_one_line(
    variable: str, value: str, model: type[ServiceSettings], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as raised:
        model.load()
    said = str(raised.value)
    assert problem in said
    assert f"variable {variable}" in said
    assert "\n" not in said
    assert len(said) < 600


@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("TROUPE_CLIENT__TARGET", ClientSettings),
        ("TROUPE_WORKER__AGENTS", WorkerSettings),
        ("TROUPE_AGENTS__MEMORY__MILVUS_TOKEN", AgentsSettings),
        ("TROUPE_INFERENCE__DEFAULT_GENERATOR", InferenceSettings),
        ("TROUPE_GATEWAY__CORS_ORIGINS", GatewaySettings),
    ],
)
def test_text_that_is_no_utf8_is_one_line(
    variable: str, model: type[ServiceSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "caf\udce9:1")
    with pytest.raises(SettingsError, match=rf"is not UTF-8 \(variable {variable}\)"):
        model.load()
    assert json.dumps(asdict(section_of(model)))


def test_a_path_may_hold_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_LOCAL__DATA_DIR", "/tmp/caf\udce9")
    assert LocalSettings.load().folder == Path("/tmp/caf\udce9")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("127.0.0.1:1", ("127.0.0.1:1",)),
        ("a:1,b:2", ("a:1", "b:2")),
        (" a:1 , [::1]:2,", ("a:1", "[::1]:2")),
        ('["a:1", "b:2"]', ("a:1", "b:2")),
        ("dns:///agents:50052", ("dns:///agents:50052",)),
        ("", ()),
    ],
)
def test_a_list_is_json_or_has_commas(given: str, read: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_WORKER__AGENTS", given)
    assert WorkerSettings.load().agents == read


def test_lists_of_other_things_have_commas_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_WORKER__WEBHOOKS__ALLOWED_PORTS", "443,8443")
    monkeypatch.setenv("TROUPE_WORKER__WEBHOOKS__ALLOWED_NETWORKS", "10.0.0.0/8,fd00::/8")
    monkeypatch.setenv("TROUPE_GATEWAY__CORS_ORIGINS", "*")
    webhooks = WorkerSettings.load().webhooks
    assert webhooks.allowed_ports == {443, 8443}
    assert len(webhooks.allowed_networks) == 2
    assert GatewaySettings.load().cors_origins == ("*",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[worker", "is no TOML"),
        (b"worker = 3", "must be a table, written as [worker]"),
        (b"[worker]\nagents = 'caf\xe9'", "is not UTF-8"),
        (b"[worker]\nagents = 3", "must be a list"),
        (b"[worker]\nagnets = []", "did you mean `agents`?"),
        (b"[worker.webhooks]\nsecrets = 'whsec_GEHEIM'", "= ***: must be a list"),
    ],
)
def test_a_wrong_file_is_one_line(
    content: bytes, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    with pytest.raises(SettingsError) as raised:
        WorkerSettings.load()
    said = str(raised.value)
    assert problem in said
    assert str(path) in said
    assert "\n" not in said
    assert "GEHEIM" not in said


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match=r"none\.toml', which does not exist"):
        LogSettings.load()
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path))
    with pytest.raises(SettingsError, match="Is a directory"):
        LogSettings.load()


def test_origins_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[worker]\nmax_concurrency = 3\n[worker.retry]\nmax_attempts = 2\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    monkeypatch.setenv("TROUPE_WORKER__RETRY", '{"backoff_multiplier": 3}')
    monkeypatch.setenv("troupe_worker__agents", "a:1")
    origins = {value.setting: (value.value, value.origin) for value in section_of(WorkerSettings).values}
    assert origins["worker.max_concurrency"] == (3, str(path))
    assert origins["worker.retry.max_attempts"] == (2, str(path))
    assert origins["worker.retry.backoff_multiplier"] == (3.0, "TROUPE_WORKER__RETRY")
    assert origins["worker.agents"] == (["a:1"], "troupe_worker__agents")
    assert origins["worker.lease_seconds"] == (1.5, "default")


def test_unknown_variables_are_told_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "TROUPE_WORKER__AGENT",
        "TROUPE_WROKER__AGENTS",
        "TROUPE_WORKER__RETRY__MAX_ATTEMPTS",
        "TROUPE_CONFIG",
    ):
        monkeypatch.setenv(name, "")
    values = [value for model in MODELS for value in section_of(model).values]
    assert [line for line in unknown_variables(values) if "RETRY" in line or "CONFIG" in line] == []
    assert "variable TROUPE_WORKER__AGENT is no setting; did you mean `TROUPE_WORKER__AGENTS`?" in unknown_variables(
        values
    )
    assert "variable TROUPE_WROKER__AGENTS is no setting; did you mean `TROUPE_WORKER__AGENTS`?" in unknown_variables(
        values
    )
