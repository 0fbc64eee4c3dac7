"""A process that cannot start says why on one line, and ends with 2."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path

import pytest


async def started(module: str, env: Mapping[str, str]) -> str:
    """Starts a process that ends by itself; returns what it said."""
    base = {key: value for key, value in os.environ.items() if not key.startswith("TROUPE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"troupe.{module}", stdout=PIPE, stderr=PIPE, env={**base, **env}
    )
    _, err = await process.communicate()
    said = err.decode()
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert said.count("\n") == 1, said
    return said


@pytest.mark.parametrize(
    ("module", "env", "said"),
    [
        (
            "gateway",
            {"TROUPE_GATEWAY__LISTEN": "127.0.0.1:99999"},
            "gateway: setting `gateway.listen` = '127.0.0.1:99999': ",
        ),
        ("gateway", {"TROUPE_GATEWAY__TLS_CERTIFICATE": "/none", "TROUPE_GATEWAY__TLS_KEY": "/none"}, "'/none'"),
        ("gateway", {"TROUPE_GATEWAY__DESCRIPTORS": "/none"}, "/none"),
        (
            "orchestrator",
            {"TROUPE_ORCHESTRATOR__AGENTS": "agents"},
            "`orchestrator.agents[0]` = 'agents': must be host:port",
        ),
        (
            "orchestrator",
            {"TROUPE_ORCHESTRATOR__REDIS_URL": "redis://:a/b@c"},
            "= 'redis://***@c': must look like redis://",
        ),
        (
            "orchestrator.worker",
            {"TROUPE_WORKER__LOCAL_AGENTS": "no.such:thing"},
            "'no.such:thing', which cannot be made",
        ),
        ("agents", {"TROUPE_AGENTS__MEMORY": "large"}, "`agents.memory` = ***: must be a table"),
        ("inference", {"TROUPE_INFERENCE__LIMITS__MAX_OUTPUT_TOKENS": "0"}, "must be greater than 0"),
        ("inference", {"TROUPE_LOG__FORMAT": "xml"}, "`log.format` = 'xml': must be 'json' or 'console'"),
    ],
)
async def test_a_wrong_setting(module: str, env: dict[str, str], said: str) -> None:
    assert said in await started(module, env)


async def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "troupe.toml").write_text("[gateway\n")
    said = await started("gateway", {"TROUPE_CONFIG": str(tmp_path / "troupe.toml")})
    assert "is no TOML" in said


async def test_headers_for_a_collector_are_never_logged() -> None:
    program = (
        "import asyncio\n"
        "from troupe.core.logs import LogSettings, configure\n"
        "from troupe.core.telemetry.settings import TelemetrySettings\n"
        "from troupe.core.telemetry.tracing import configure_tracing\n"
        "configure('x', LogSettings())\n"
        "async def main():\n"
        "    settings = TelemetrySettings(otlp_endpoint='http://127.0.0.1:1', flush_timeout_seconds=0)\n"
        "    async with configure_tracing('x', settings): pass\n"
        "asyncio.run(main())\n"
    )
    env = {**os.environ, "OTEL_EXPORTER_OTLP_HEADERS": "authorization Bearer GEHEIM"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE, stderr=PIPE, env=env)
    out, err = await process.communicate()
    assert b"Header format invalid" in out
    assert b"GEHEIM" not in out + err
