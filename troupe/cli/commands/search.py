"""`troupe search`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from troupe.api.common.v1.content_pb2 import Passage
from troupe.cli.arguments import path_or_name, some_path
from troupe.cli.console import SafeConsole
from troupe.cli.ingesting import ingest_folder
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption
from troupe.cli.session import COMPLETED, USAGE, with_client
from troupe.cli.streams import note
from troupe.client import Folder, TroupeClient
from troupe.core.file_urls import brief

_EXCERPT = 300


def command(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for, in words.", show_default=False)],
    docs: Annotated[
        Path | None,
        typer.Option(
            "--docs",
            metavar="DIR",
            parser=some_path,
            help="Ingest this folder first and search only it.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="NAME",
            parser=path_or_name,
            help="Search only what it holds; repeatable.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="Most passages to show.")] = 10,
    as_json: JsonOption = False,
    target: TargetOption = None,
) -> None:
    """Find passages in the memory, with their places. `troupe docs sources` lists what --source takes."""

    async def work(client: TroupeClient) -> int:
        names = list(source or ())
        if docs is not None:
            folder = Folder.scan(docs)
            names.append(folder.label)
            await ingest_folder(client, folder, SafeConsole(stderr=True))
        passages = await client.documents().search(query, limit=limit, sources=names)
        if as_json:
            for passage in passages:
                print_json(passage)
        else:
            _show(passages)
        if not passages:
            note("troupe: nothing was found")
        return COMPLETED if passages else USAGE

    with_client(target, work)


def _show(passages: Sequence[Passage]) -> None:
    console = SafeConsole()
    for number, passage in enumerate(passages, start=1):
        title = brief(passage.document_title or passage.document_uri)
        heading = " › ".join(filter(None, (title, passage.heading)))  # noqa: RUF001
        place = f"{brief(passage.document_uri)}, {passage.start_offset}–{passage.end_offset}"
        text = " ".join(passage.text.split())
        excerpt = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT].rsplit(' ', 1)[0]} …"
        console.print(Text(f"{number}. {heading}", style="bold"), soft_wrap=True)
        console.print(Text(f"   {excerpt}"), soft_wrap=True)
        console.print(Text(f"   {place}", style="dim"), soft_wrap=True)
