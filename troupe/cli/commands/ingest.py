"""`troupe ingest`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from troupe.cli.console import SafeConsole
from troupe.cli.ingesting import Tally, ingest_folder, ingesting, summary
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption
from troupe.cli.session import COMPLETED, USAGE, with_client
from troupe.cli.streams import say_json, takes_unicode
from troupe.client import Folder, TroupeClient
from troupe.core.terminal_text import json_text


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder, or one file.", show_default=False)],
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
    say_json(json_text(json.dumps({"summary": summary(tally, folder)}, ensure_ascii=not takes_unicode())))
    return COMPLETED if tally.stored or not folder.files else USAGE
