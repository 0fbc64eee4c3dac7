"""`troupe generate` against a real inference service, with the model that quotes and with the one that writes."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from tests.integration.inference.test_generate import SOURCES
from tests.support.inference import with_chat
from troupe.local.launch import free_port

ASKED = f"Question: What happens when a worker dies?\n\nSources:\n{SOURCES}"


async def start(*arguments: str, address: str) -> Process:
    command = (sys.executable, "-m", "troupe.cli", "generate", *arguments, "--inference", address)
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env={**os.environ, "TROUPE_LOCAL__DATA_DIR": "/nowhere"}
    )


async def generate(*arguments: str, address: str, stdin: str = "") -> tuple[int | None, str, str]:
    process = await start(*arguments, address=address)
    out, err = await process.communicate(stdin.encode())
    assert "Traceback" not in err.decode()
    return process.returncode, out.decode(), err.decode()


async def test_the_default_model_answers_what_stands_on_standard_input(inference_address: str) -> None:
    code, out, err = await generate("-", address=inference_address, stdin=ASKED)
    assert code == 0
    assert out.startswith("A dead worker's lease expires")
    assert err.startswith("generator: ")


async def test_json_has_each_message(inference_address: str) -> None:
    code, out, err = await generate("-", "--json", address=inference_address, stdin=ASKED)
    messages = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert all("textDelta" in message for message in messages[:-1])
    assert messages[-1]["finish"]["reason"] == "FINISH_REASON_STOP"


async def test_an_answer_that_was_cut_is_told_and_ends_with_1(inference_address: str) -> None:
    code, out, err = await generate("-", "--max-tokens", "5", address=inference_address, stdin=ASKED)
    assert (code, out) == (1, "A dead worker's\n")
    assert "--max-tokens allows more" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("x", "--model", "gpt-9"), "no model is named 'gpt-9'; offered: "),
        (("x", "--model", "embedder"), "is no generator"),
        (("x", "--schema", "/nowhere/x.json"), "cannot be read: No such file"),
        (("x", "--schema", "{tmp}/broken.json"), "is not a JSON object"),
        (("x", "--schema", "{tmp}/wrong.json"), "is no JSON Schema: at $.type"),
        (("x", "--temperature", "3"), "--temperature"),
    ],
)
async def test_what_is_wrong_is_one_line(
    arguments: tuple[str, ...], told: str, inference_address: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "wrong.json").write_text('{"type": "frob"}')
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    code, out, err = await generate(*given, address=inference_address)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


async def test_where_nobody_listens_is_told() -> None:
    address = f"127.0.0.1:{free_port()}"
    code, _, err = await generate("x", address=address)
    assert code == 2
    what = "start one with `troupe up`, or name another with --inference"
    assert err == f"troupe: no inference service answers at {address}: {what}\n"


@with_chat
async def test_an_answer_under_a_schema_is_json(inference_address: str, tmp_path: Path) -> None:
    schema = tmp_path / "city.json"
    schema.write_text('{"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}')
    code, out, _ = await generate(
        "Which city is the capital of France?", "--model", "chat", "--schema", str(schema), address=inference_address
    )
    assert code == 0
    assert json.loads(out)["city"] in ("Paris", "Rome")


@with_chat
async def test_ctrl_c_stops_the_model(inference_address: str) -> None:
    process = await start("Write a long story.", "--model", "chat", "--max-tokens", "1500", address=inference_address)
    assert process.stdout is not None
    assert await process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    code, out, _ = await generate("Say hi.", "--model", "chat", "--max-tokens", "400", address=inference_address)
    assert code in (0, 1)
    assert out.strip()
