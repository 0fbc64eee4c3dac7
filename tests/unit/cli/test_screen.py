"""What processes say reaches the screen without acting upon it."""

import json
import unicodedata

import pytest

from tests.support.hostile import HOSTILE
from troupe.cli.console import SafeConsole
from troupe.cli.screen import Screen
from troupe.local.program import Program


@pytest.mark.parametrize(
    "line",
    [
        HOSTILE,
        json.dumps({"level": "warning", "message": f"said {HOSTILE}", "task_id": HOSTILE}),
        json.dumps({"level": "error", "message": "one\ngateway      │ ✓ forged"}),
        json.dumps({"level": "error", "message": "failed", "exception": f"Traceback\n  {HOSTILE}"}),
        "caf\udce9 \x9b2J",
    ],
)
def test_lines_of_processes(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(SafeConsole(), verbose=True)
    screen.line("worker", line)
    shown = capsys.readouterr().out
    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert "\u202e" not in shown
    assert not any(part.startswith("gateway") for part in shown.splitlines())


def test_the_end_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(SafeConsole())
    screen.all_ready()
    program = Program(name="worker", address="127.0.0.1:1", kind="grpc")
    screen.died(program, f"exited {HOSTILE}", 1.0, [HOSTILE])
    shown = capsys.readouterr().out
    assert "EVIL" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
