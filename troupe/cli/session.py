"""How every command runs: one event loop, one client, errors as one clear message, exit codes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NoReturn

import typer

from troupe.cli.shell_words import in_shell_words
from troupe.cli.streams import note, note_line
from troupe.cli.target import client_settings
from troupe.client import TroupeClient
from troupe.client.errors import is_unreachable
from troupe.core.errors import TroupeError
from troupe.core.settings import SettingsError
from troupe.local.errors import StackError

COMPLETED: Final = 0
TASK_FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


def with_client(target: str | None, work: Callable[[TroupeClient], Awaitable[int]]) -> None:
    """Runs work with a client of the orchestrator and ends the program with the exit code that it returns."""

    async def session() -> int:
        async with TroupeClient(settings=client_settings(target)) as client:
            return await work(client)

    finish(session())


def finish(work: Coroutine[Any, Any, int]) -> None:
    """Runs work to its end, and ends the program with the exit code that it returns."""
    try:
        code = asyncio.run(work)
    except (TroupeError, SettingsError) as error:
        fail(told(error))
    except StackError as error:  # its lines are the end of a log
        note(f"troupe: {error}")
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)


def fail(message: str) -> NoReturn:
    """Ends the program with one message on standard error."""
    note_line(f"troupe: {message}")
    raise typer.Exit(USAGE)


def told(error: Exception) -> str:
    """What a person is told of an error that a command expects; empty for any other."""
    if isinstance(error, TroupeError):
        return explain(error)
    return str(error) if isinstance(error, SettingsError | StackError) else ""


def explain(error: TroupeError) -> str:
    """The error as one message: what, and what to do."""
    if is_unreachable(error):
        return f"{error.message}: start one with `troupe up`, or name another with --target"
    return in_shell_words(error.message) or error.reason_name
