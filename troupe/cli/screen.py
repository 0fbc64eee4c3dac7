"""What a stack looks like on the screen: one line a process while it starts, then what a person must know."""

import json
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from troupe.cli import words
from troupe.core.terminal_text import terminal_line
from troupe.local.program import Program

_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
_NAME_WIDTH: Final = 12
_LEVEL_STYLES: Final = {"warning": "yellow", "error": "red", "critical": "red"}
# Parts of a log line that its prefix says already, or that only machines read.
_SILENT: Final = frozenset({"service", "time", "level", "message", "exception", "request_id", "method"})


class Screen:
    """Prints what the supervisor tells. Quiet: no output of the processes but warnings once all are ready."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._started = False
        self._stopping = False
        self._colours: dict[str, str] = {}

    def all_ready(self) -> None:
        """The start is over: from now on warnings are news."""
        self._started = True

    def stopping(self) -> None:
        """The stack is being stopped: what processes say about that is no news."""
        self._stopping = True

    def note(self, message: str) -> None:
        """Something that the person should know."""
        self._console.print(Text(message, style="yellow"), soft_wrap=True)

    def starting(self, program: Program) -> None:
        """Said only when everything is."""
        if self._verbose:
            self._say(program.name, Text("starting", style="dim"))

    def ready(self, program: Program, seconds: float) -> None:
        """A line with the address."""
        where = Text(f"{program.address:<22} ")
        how = f"ready in {words.duration(seconds)}" if program.make is not None else "answers"
        self._say(program.name, Text.assemble(("✓ ", "green"), where, (how, "dim")))

    def died(self, program: Program, why: str, restart_seconds: float, log_tail: Sequence[str]) -> None:
        """A line, and the end of its log unless the screen has it already or will get it with the error."""
        self._say(program.name, Text(f"✗ {why}; starts again in {words.duration(restart_seconds)}", style="red"))
        if self._started and not self._verbose and why != "was killed by SIGKILL":
            for line in log_tail:
                self._say(program.name, Text(line, style="dim"))

    def stopped(self, program: Program) -> None:
        """Said only when everything is."""
        if self._verbose:
            self._say(program.name, Text("stopped", style="dim"))

    def line(self, name: str, text: str) -> None:
        """A line of output: everything, or warnings of the running stack."""
        record = parse_log_line(text)
        level = record.get("level", "") if record else ""
        if self._verbose or (self._started and not self._stopping and level in _LEVEL_STYLES):
            self._say(name, Text(describe(record) if record else text, style=_LEVEL_STYLES.get(level, "")))

    def _say(self, name: str, text: Text) -> None:
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        self._console.print(Text.assemble((f"{name:<{_NAME_WIDTH}} │ ", colour), text), soft_wrap=True)


def parse_log_line(text: str) -> dict[str, Any]:
    """The fields of a structured line; empty for any other."""
    if not text.startswith("{"):
        return {}
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) and "message" in record else {}


def describe(record: dict[str, Any]) -> str:
    """A structured line as a person reads it."""
    rest = " ".join(f"{key}={value}" for key, value in record.items() if key not in _SILENT)
    message = terminal_line(f"{record.get('level', '')}: {record['message']} {rest}".rstrip())
    return "\n".join(filter(None, [message, str(record.get("exception", ""))]))
