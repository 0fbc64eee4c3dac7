"""Where plain lines go: the one door to standard output and standard error, and the one that reads standard input."""

import io
import os
import select
import sys
import threading
from typing import Any, Final, TextIO

from troupe.core.terminal_text import terminal_line, terminal_text

_STANDARD: Final = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_RDONLY}


class OutputLostError(Exception):
    """Standard output takes nothing any more. The message says why; it is empty when whoever read it has gone."""


class InputError(Exception):
    """Standard input cannot be read; the message says why."""


def prepare_streams() -> None:
    """Makes both streams show what they can and replace the rest, and tell when they take nothing any more."""
    for number, wrong_way in _STANDARD.items():
        _hold(number, wrong_way)
    sys.stdout = _stream(1, sys.stdout, silent=False)
    sys.stderr = _stream(2, sys.stderr, silent=True)


def say(text: str) -> None:
    """A line, or some, on standard output, at once."""
    print(terminal_text(text), flush=True)


def say_part(text: str) -> None:
    """A part of a text on standard output."""
    print(terminal_text(text), end="", flush=True)


def say_line(text: str) -> None:
    """One line on standard output, whatever the text holds: nobody's text can pretend to be another line."""
    print(terminal_line(text), flush=True)


def note(text: str) -> None:
    """The same on standard error."""
    print(terminal_text(text), file=sys.stderr, flush=True)


def note_line(text: str) -> None:
    """One line on standard error."""
    print(terminal_line(text), file=sys.stderr, flush=True)


def say_json(text: str) -> None:
    """A line that is safe JSON already."""
    print(text, flush=True)


def takes_unicode() -> bool:
    """Whether standard output can show every character."""
    return sys.stdout.encoding.lower().replace("-", "").startswith("utf")


def read_input(what: str, *, max_bytes: int) -> str:
    """All of standard input.

    Raises:
        InputError: it is closed, cannot be read, is longer, or no UTF-8. `what` is to be read.
    """
    if sys.stdin is None:
        raise InputError(f"{what} is to come from standard input, which is closed")
    try:
        data = sys.stdin.buffer.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"{what} cannot be read from standard input: {error.strerror}") from None
    if len(data) > max_bytes:
        raise InputError(f"{what} on standard input is longer than {max_bytes:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{what} is not UTF-8") from None


def _hold(number: int, wrong_way: int) -> None:
    """Occupies a descriptor that is closed, or the next file or socket would get it and what is printed.

    What holds it fails when it is used, as the closed one would.
    """
    try:
        os.fstat(number)
    except OSError:
        holder = os.open(os.devnull, wrong_way)
        if holder != number:
            os.dup2(holder, number)
            os.close(holder)


def _stream(number: int, given: TextIO | None, *, silent: bool) -> TextIO:
    raw = _Sink(number, silent=silent)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=given.encoding if given else "utf-8",
        errors="backslashreplace",
        line_buffering=silent or os.isatty(number),
    )


class _Sink(io.RawIOBase):
    """Writes to a descriptor. What cannot be written is told once, unless silent, and dropped from then on."""

    def __init__(self, number: int, *, silent: bool) -> None:
        super().__init__()
        self._number = number
        self._silent = silent
        self._lost: OutputLostError | None = None
        self._told = silent

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._lost is None:
            try:
                return self._write(data)
            except BrokenPipeError:
                self._lost = OutputLostError("")
            except OSError as error:
                self._lost = OutputLostError(f"standard output cannot be written: {error.strerror}")
        # A thread that draws has nobody to tell: the next line of the program does it.
        if not self._told and threading.current_thread() is threading.main_thread():
            self._told = True
            raise self._lost
        return len(memoryview(data))

    def _write(self, data: Any) -> int:
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:  # whoever shares the terminal or pipe made it so
                select.select([], [self._number], [])
