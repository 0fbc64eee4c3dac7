"""`troupe ingest`."""

from pathlib import Path
from typing import Annotated

import typer

from troupe.cli.arguments import some_path
from troupe.cli.console import SafeConsole
from troupe.cli.ingesting import Tally, ingest_folder, ingesting, summary
from troupe.cli.json_lines import print_json, print_record
from troupe.cli.options import JsonOption, TargetOption
from troupe.cli.session import COMPLETED, USAGE, with_client
from troupe.client import Folder, TroupeClient


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", parser=some_path, help="A folder, or one file.", show_default=False)
    ],
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name every file that could not be ingested or was passed over.")
    ] = False,
    as_json: JsonOption = False,
    target: TargetOption = None,
) -> None:
    """Store the files of a folder that can be read in the memory; forget those that are gone."""

    async def work(client: TroupeClient) -> int:
        found = Folder.scan(folder)
        if as_json:
            return await _print_all(client, found)
        stored = await ingest_folder(client, found, SafeConsole(), verbose=verbose)
        return COMPLETED if stored or not found.files else USAGE

    with_client(target, work)


async def _print_all(client: TroupeClient, folder: Folder) -> int:
    """Each message on a line, then what became of the folder."""
    tally = Tally()
    async for response in ingesting(client, folder, tally):
        print_json(response)
    print_record({"summary": summary(tally, folder)})
    return COMPLETED if tally.stored or not folder.files else USAGE
