"""Shows how documents are ingested."""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from troupe.api.memory.v1.memory_service_pb2 import IngestResponse, IngestResult, IngestStatus
from troupe.cli import words
from troupe.client import Folder, TroupeClient
from troupe.core.file_urls import brief, file_path

_NAMED_FAILURES: Final = 5
_OUTCOMES: Final = {
    IngestStatus.INGEST_STATUS_CREATED: "new",
    IngestStatus.INGEST_STATUS_UNCHANGED: "unchanged",
    IngestStatus.INGEST_STATUS_REPLACED: "replaced",
    IngestStatus.INGEST_STATUS_FAILED: "failed",
}


async def ingest_folder(client: TroupeClient, folder: Folder, console: Console, *, verbose: bool = False) -> int:
    """Ingests the folder; says what failed and why. Returns how many documents are stored now.

    Without `verbose` only the first few failures are named.
    """
    outcomes: Counter[str] = Counter()
    forgotten: list[int] = []
    total = len(folder.files)
    with console.status("") as status:
        async with aclosing(client.ingest(folder, on_forgotten=forgotten.append)) as responses:
            async for response in responses:
                if response.WhichOneof("event") == "result":
                    outcome = _OUTCOMES.get(response.result.status, "failed")
                    outcomes[outcome] += 1
                    if outcome == "failed" and (verbose or outcomes["failed"] <= _NAMED_FAILURES):
                        console.print(_failure(response.result, folder), soft_wrap=True)
                status.update(f"ingesting {outcomes.total()} of {words.plural(total, 'file')} {_current(response)}")
    if not verbose and outcomes["failed"] > _NAMED_FAILURES:
        more = f"and {outcomes['failed'] - _NAMED_FAILURES:,} more, which `troupe ingest --verbose` names"
        console.print(Text(more, style="yellow"), soft_wrap=True)
    _summarize(outcomes, forgotten, folder, console)
    return outcomes.total() - outcomes["failed"]


def _summarize(outcomes: Counter[str], forgotten: Sequence[int], folder: Folder, console: Console) -> None:
    counts = ", ".join(f"{outcomes[name]} {name}" for name in _OUTCOMES.values() if outcomes[name])
    said = f"ingested {words.plural(outcomes.total(), 'file')} of {folder.label}: {counts}"
    console.print(Text(said), soft_wrap=True)
    if forgotten:
        console.print(f"forgot {words.plural(sum(forgotten), 'document')} whose files are gone", highlight=False)


def _failure(result: IngestResult, folder: Folder) -> Text:
    """One line that names the file once."""
    path = file_path(result.uri).removeprefix(f"{folder.root}/")
    why = result.error.message.removeprefix(f"document {result.uri!r} ").removeprefix("it ")
    return Text(f"not ingested: {path}: {why}", style="yellow")


def _current(response: IngestResponse) -> str:
    if response.WhichOneof("event") != "progress":
        return ""
    progress = response.progress
    return f"[dim]{escape(brief(progress.uri))} ({progress.stored_passages} of {progress.total_passages} passages)[/]"
