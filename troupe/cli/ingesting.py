"""Shows how documents are ingested."""

from collections import Counter
from contextlib import aclosing
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from troupe.api.memory.v1.memory_service_pb2 import IngestResponse, IngestStatus
from troupe.cli import words
from troupe.client import Folder, TroupeClient

_OUTCOMES: Final = {
    IngestStatus.INGEST_STATUS_CREATED: "new",
    IngestStatus.INGEST_STATUS_UNCHANGED: "unchanged",
    IngestStatus.INGEST_STATUS_REPLACED: "replaced",
    IngestStatus.INGEST_STATUS_FAILED: "failed",
}


async def ingest_folder(client: TroupeClient, folder: Folder, console: Console) -> int:
    """Ingests the folder; says what failed and why. Returns how many documents are stored now."""
    outcomes: Counter[str] = Counter()
    forgotten: list[int] = []
    total = len(folder.files)
    with console.status("") as status:
        async with aclosing(client.ingest(folder, on_forgotten=forgotten.append)) as responses:
            async for response in responses:
                if response.WhichOneof("event") == "result":
                    outcomes[_OUTCOMES.get(response.result.status, "failed")] += 1
                    _tell_failure(console, response)
                status.update(f"ingesting {outcomes.total()} of {words.plural(total, 'file')} {_current(response)}")
    counts = ", ".join(f"{outcomes[name]} {name}" for name in _OUTCOMES.values() if outcomes[name])
    console.print(
        Text(f"ingested {words.plural(outcomes.total(), 'file')} of {folder.label}: {counts}"), soft_wrap=True
    )
    if forgotten:
        console.print(f"forgot {words.plural(sum(forgotten), 'document')} whose files are gone", highlight=False)
    return outcomes.total() - outcomes["failed"]


def _tell_failure(console: Console, response: IngestResponse) -> None:
    result = response.result
    if result.status == IngestStatus.INGEST_STATUS_FAILED:
        problem = Text(f"not ingested: {result.uri}: {result.error.message}", style="yellow")
        console.print(problem, soft_wrap=True)


def _current(response: IngestResponse) -> str:
    if response.WhichOneof("event") != "progress":
        return ""
    progress = response.progress
    return f"[dim]{escape(progress.uri)} ({progress.stored_passages} of {progress.total_passages} passages)[/]"
