"""The `troupe` command as a person or a script starts it, byte by byte."""

import asyncio
import os
import sys
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
