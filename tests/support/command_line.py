"""The `troupe` command as a person or a script starts it, byte by byte."""

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from dataclasses import dataclass

_SHELL = 'exec "$0" "$@"'


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: bytes
    err: bytes

    @property
    def complaint(self) -> str:
        """Standard error as text; that it is one line, and no traceback, is part of every promise."""
        text = self.err.decode()
        assert "Traceback" not in text
        assert text.endswith("\n")
        assert text.count("\n") == 1, text
        return text.removesuffix("\n")


async def troupe(
    *arguments: str | bytes,
    stdin: bytes | None = None,
    stdout: int = PIPE,
    env: Mapping[str, str | bytes] | None = None,
    plumbing: str = "",
) -> Ended:
    """Runs a command to its end. `plumbing` is what a shell does to its streams, such as `>&-`."""
    base = {key: value for key, value in os.environ.items() if not key.startswith("TROUPE_")}
    variables: dict[str, str | bytes] = {**base, "TROUPE_LOCAL__DATA_DIR": "/nowhere", **(env or {})}
    shell = ("/bin/sh", "-c", f"{_SHELL} {plumbing}") if plumbing else ()
    process = await asyncio.create_subprocess_exec(
        *shell,
        sys.executable,
        "-m",
        "troupe.cli",
        *arguments,
        stdin=DEVNULL if stdin is None else PIPE,
        stdout=stdout,
        stderr=PIPE,
        env=variables,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, out or b"", err)


async def troupe_on_terminal(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Runs a command on a terminal of its own; returns the exit code and all that the terminal got."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    base = {key: value for key, value in os.environ.items() if not key.startswith("TROUPE_")}
    variables = {**base, "TROUPE_LOCAL__DATA_DIR": "/nowhere", "TERM": "xterm-256color", **(env or {})}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "troupe.cli", *arguments, stdin=slave, stdout=slave, stderr=slave, env=variables
    )
    os.close(slave)
    shown, code = await asyncio.gather(asyncio.to_thread(_read_all, master), process.wait())
    os.close(master)
    return code, shown


def _read_all(terminal: int) -> bytes:
    shown = b""
    with contextlib.suppress(OSError):  # EIO, when the last process has closed its end
        while chunk := os.read(terminal, 65_536):
            shown += chunk
    return shown
