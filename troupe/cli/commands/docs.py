"""`troupe docs`: what the memory holds."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from troupe.api.memory.v1.memory_service_pb2 import Document, ForgetSourceResponse, Source
from troupe.cli import words
from troupe.cli.arguments import path_or_name
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption
from troupe.cli.session import COMPLETED, USAGE, with_client
from troupe.cli.streams import note, say, say_line, say_part
from troupe.client import TroupeClient
from troupe.client.folder import source_name
from troupe.core.errors import invalid
from troupe.core.file_urls import file_path

_BATCH: Final = 1000

group = typer.Typer(add_completion=False, no_args_is_help=True, help="List, show and delete the memory's documents.")

DocumentArgument = Annotated[
    str,
    typer.Argument(metavar="ID", parser=path_or_name, help="A document's id, its URL or its path.", show_default=False),
]


@group.command("list")
def list_documents(
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", parser=path_or_name, help="Only what it holds.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    target: TargetOption = None,
) -> None:
    """List the documents by URL: id, passages, where it is from, title."""

    async def work(client: TroupeClient) -> int:
        name = None if source is None else await _name_of(client, source)
        count = 0
        async for document in client.documents().list(source=name):
            count += 1
            if as_json:
                print_json(document)
            else:
                fields = (document.document_id, str(document.passages), file_path(document.uri), document.title)
                say_line("\t".join(map(_one_line, fields)))
        if not count:
            note("troupe: no documents; store some with troupe ingest DIR")
        return COMPLETED

    with_client(target, work)


@group.command("show")
def show(document: DocumentArgument, as_json: JsonOption = False, target: TargetOption = None) -> None:
    """Print a document's text; with --json what is known of it, too."""

    async def work(client: TroupeClient) -> int:
        (document_id,) = await _ids_of(client, [document])
        opened = await client.documents().open(document_id)
        if as_json:
            print_json(opened)
            return COMPLETED
        while True:
            say_part(opened.text)
            end = opened.start_offset + len(opened.text)
            if not opened.text or end >= opened.document.text_length:
                break
            opened = await client.documents().open(document_id, start=end)
        say("")
        return COMPLETED

    with_client(target, work)


@group.command("delete")
def delete(
    documents: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...", parser=path_or_name, help="Documents: their ids, URLs or paths.", show_default=False
        ),
    ],
    target: TargetOption = None,
) -> None:
    """Delete documents, whichever sources hold them."""

    async def work(client: TroupeClient) -> int:
        ids = await _ids_of(client, documents)
        deleted = 0
        for start in range(0, len(ids), _BATCH):
            deleted += await client.documents().delete(ids[start : start + _BATCH])
        say_line(f"deleted {words.plural(deleted, 'document')}")
        return COMPLETED if deleted else USAGE

    with_client(target, work)


@group.command("sources")
def sources(
    forget: Annotated[
        str | None,
        typer.Option(
            "--forget",
            metavar="NAME",
            parser=path_or_name,
            help="Let go of what it holds; what nothing else holds is deleted.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    target: TargetOption = None,
) -> None:
    """List what holds documents: documents, passages, name. A folder that was ingested is a source."""

    async def work(client: TroupeClient) -> int:
        if forget is not None:
            done = await client.documents().forget(await _name_of(client, forget))
            return _forgotten(done, as_json=as_json)
        async for source in client.documents().sources():
            _print_source(source, as_json=as_json)
        return COMPLETED

    with_client(target, work)


def _print_source(source: Source, *, as_json: bool) -> None:
    if as_json:
        print_json(source)
    else:
        name = source.name or "(without a source)"
        say_line(f"{source.documents}\t{source.passages}\t{_one_line(name)}")


def _forgotten(done: ForgetSourceResponse, *, as_json: bool) -> int:
    if as_json:
        print_json(done)
    else:
        released, deleted = words.plural(done.released_documents, "document"), f"{done.deleted_documents:,} deleted"
        say_line(f"let go of {released}, {deleted}")
    return COMPLETED


async def _name_of(client: TroupeClient, given: str) -> str:
    """The source that is meant: by its name, or by the path of a folder, which need not exist any more.

    Raises:
        TroupeError: there is none.
    """
    names = {source.name async for source in client.documents().sources()}
    for name in (given, _path_name(given)):
        if name in names:
            return name
    raise invalid("source", f"{given!r} holds no documents; `troupe docs sources` lists those that do")


def _path_name(path: str) -> str:
    return source_name(Path(os.path.realpath(Path(path).expanduser())))


async def _ids_of(client: TroupeClient, given: Sequence[str]) -> Sequence[str]:
    """The ids of documents that are named by id, URL or path.

    Raises:
        TroupeError: there is none.
    """
    by_name: dict[str, str] = {}
    async for document in client.documents().list():
        by_name |= dict.fromkeys(_names(document), document.document_id)
    found = [by_name.get(name) or by_name.get(_url(name)) or "" for name in given]
    for name, document_id in zip(given, found, strict=True):
        if not document_id:
            raise invalid("document", f"no document {name!r} is stored; `troupe docs list` lists them")
    return found


def _names(document: Document) -> Sequence[str]:
    return (document.document_id, document.uri)


def _url(path: str) -> str:
    return Path(os.path.realpath(Path(path).expanduser())).as_uri()


def _one_line(text: str) -> str:
    return " ".join(text.split())
