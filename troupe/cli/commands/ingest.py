"""`troupe ingest`."""

from pathlib import Path
from typing import Annotated

import typer

from troupe.cli.console import SafeConsole
from troupe.cli.ingesting import ingest_folder
from troupe.cli.options import TargetOption
from troupe.cli.session import COMPLETED, USAGE, with_client
from troupe.client import Folder, TroupeClient


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder, or one file.", show_default=False)],
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name every file that could not be ingested.")
    ] = False,
    target: TargetOption = None,
) -> None:
    """Store the Markdown, text, HTML and PDF files of a folder in the memory; forget those that are gone."""

    async def work(client: TroupeClient) -> int:
        stored = await ingest_folder(client, Folder.scan(folder), SafeConsole(), verbose=verbose)
        return COMPLETED if stored else USAGE

    with_client(target, work)
