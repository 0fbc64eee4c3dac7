"""`troupe down`."""

import asyncio
from typing import Annotated, Final

import typer

from troupe.cli.options import DataDirOption
from troupe.cli.session import COMPLETED, finish
from troupe.cli.streams import say_line
from troupe.local.settings import LocalSettings
from troupe.local.stopping import Outcome, stop_stack

_SAID: Final = {
    Outcome.NOT_RUNNING: "nothing runs in {}",
    Outcome.STOPPED: "stopped the stack of {}",
    Outcome.KILLED: "killed the stack of {}, which did not stop in time",
}


def command(
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, max=86_400, metavar="SECONDS", help="Then it is ended at once.")
    ] = 60,
    data_dir: DataDirOption = None,
) -> None:
    """Stop the local stack."""

    async def work() -> int:
        folder = LocalSettings.in_folder(data_dir).folder
        outcome = await asyncio.to_thread(stop_stack, folder, timeout_seconds=timeout)
        say_line(_SAID[outcome].format(folder))
        return COMPLETED

    finish(work())
