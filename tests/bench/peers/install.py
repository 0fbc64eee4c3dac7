"""Virtual environments of the peers: none of their packages is a requirement of this project."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.peers.peer import UnavailableError

INSTALL_TIMEOUT_SECONDS = 300.0
STAMP = ".requirements"


async def installed(folder: Path, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment in `folder` that has the requirements; made when it is not there yet.

    Raises:
        UnavailableError: a requirement cannot be installed.
    """
    python, stamp = folder / "bin" / "python", folder / STAMP
    if stamp.exists() and stamp.read_text() == "\n".join(requirements):
        return python
    if await _has_uv():
        await completed([sys.executable, "-m", "uv", "venv", "-q", "--clear", "--python", sys.executable, str(folder)])
        await completed([sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python), *requirements])
    else:
        await completed([sys.executable, "-m", "venv", "--clear", str(folder)])
        await completed([str(python), "-m", "pip", "install", "-q", *requirements])
    stamp.write_text("\n".join(requirements))
    return python


async def _has_uv() -> bool:
    command = [sys.executable, "-m", "uv", "--version"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return await process.wait() == 0


async def completed(command: Sequence[str]) -> str:
    """What the command printed.

    Raises:
        UnavailableError: it is not there, it fails, or it takes more than `INSTALL_TIMEOUT_SECONDS`.
    """
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise UnavailableError(f"`{command[0]}` cannot be run: {error}") from error
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise UnavailableError(f"`{' '.join(command)}` took more than {INSTALL_TIMEOUT_SECONDS:.0f} s") from error
    if process.returncode:
        raise UnavailableError(f"`{' '.join(command)}` failed: {last_line(errors)!r}")
    return output.decode()


def last_line(output: bytes) -> str:
    """The last line that says something, where programs put the reason; cut to 300 characters."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it printed nothing"
