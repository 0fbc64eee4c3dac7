"""Whatever others wrote, no command lets it act upon the terminal."""

import ast
import json
import re
import sys
import unicodedata
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.command_line import troupe, troupe_on_terminal
from tests.support.hostile import HOSTILE, hostile_server
from tests.support.task_server import TASK_ID
from troupe.cli import streams

# What rich itself writes: styles, the cursor's moves and lines erased while it draws.
_OURS = re.compile(r"\x1b\[(?:[\d;]*m|\d*A|2K|\?25[lh]|1A)|\r(?=\x1b\[|\n|$)|\r\n")
_COMMANDS = [
    ("run", "why?"),
    ("run", "why?", "--detach"),
    ("watch", TASK_ID),
    ("tasks",),
    ("show", TASK_ID),
    ("agents",),
    ("plan", "why?"),
    ("cancel", TASK_ID),
    ("retry", TASK_ID),
    ("approve", TASK_ID, f"find{HOSTILE}"),
]


@pytest_asyncio.fixture
async def address() -> AsyncIterator[str]:
    async with hostile_server() as served:
        yield served


def acting(text: str) -> set[str]:
    """The characters that a terminal acts upon, or that reorder or hide."""
    hidden = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff"
    categories = {"Cc", "Cs", "Zl", "Zp"}
    return {c for c in text if c not in "\n\t" and (unicodedata.category(c) in categories or c in hidden)}


@pytest.mark.parametrize("command", _COMMANDS)
async def test_on_a_terminal(address: str, command: tuple[str, ...]) -> None:
    _, shown = await troupe_on_terminal(*command, "--target", address)
    text = shown.decode()
    assert not acting(_OURS.sub("", text)), ascii(text)
    assert "Traceback" not in text


@pytest.mark.parametrize("command", [("run", "why?"), ("show", TASK_ID), ("tasks",), ("agents",)])
async def test_in_a_pipe(address: str, command: tuple[str, ...]) -> None:
    ended = await troupe(*command, "--target", address)
    assert not acting((ended.out + ended.err).decode())
    assert b"Traceback" not in ended.err


async def test_names_of_files(address: str, tmp_path: Path) -> None:
    for name in ("a\x1b[2J\x07\u202e.md", "b\r\x9b2J [bold]x.md", "c\udce9\n.md"):
        (tmp_path / name).write_text("# Guide")
    _, shown = await troupe_on_terminal("ingest", str(tmp_path), "--verbose", "--target", address)
    text = shown.decode()
    assert not acting(_OURS.sub("", text)), ascii(text)
    assert "Traceback" not in text


async def test_json_keeps_every_character_as_an_escape(address: str) -> None:
    ended = await troupe("watch", TASK_ID, "--json", "--target", address)
    assert not acting(ended.out.decode())
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert events[1]["taskPlanned"]["plan"]["steps"][0]["title"] == f"Find passages{HOSTILE}"


async def test_a_message_is_one_line_and_cannot_look_like_two(address: str) -> None:
    ended = await troupe("retry", TASK_ID, "--target", address)
    assert ended.complaint.startswith("troupe: refused")
    assert ended.complaint.endswith(r"\ntroupe: all is well")


async def test_a_console_log_shows_what_others_wrote() -> None:
    program = (
        "from troupe.core.logs import *; import logging, sys; configure('x', LogSettings(format='console'))\n"
        "text = sys.stdin.read()\n"
        "get_logger().info(text, task_id=text, values=[text])\n"
        "logging.getLogger('a library').warning('%s', text)\n"
        "try:\n    raise ValueError(text)\nexcept ValueError:\n    get_logger().exception('failed')\n"
    )
    process = await create_subprocess_exec(sys.executable, "-c", program, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate(f"{HOSTILE}\n[info     ] forged".encode())
    assert err == b""
    text = re.sub(r"\x1b\[\d*m", "", out.decode())
    assert not acting(text)
    assert sum(line.startswith("[info") for line in text.splitlines()) == 2  # ours, and the one in the traceback


def test_the_command_line_has_one_door() -> None:
    """Only `console.py` makes consoles, only `streams.py` touches the streams; ruff forbids `print` elsewhere."""
    package = Path(streams.__file__).parent
    for path in package.rglob("*.py"):
        if path.name in {"console.py", "streams.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in {"Console", "print", "rich.print", "typer.echo", "typer.secho"}, path
            assert not called.startswith(("sys.stdout.", "sys.stderr.")) or called == "sys.stdout.flush", path
