"""Shows how documents are ingested."""

import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console
from rich.text import Text

from troupe.api.memory.v1.memory_service_pb2 import IngestResponse, IngestResult, IngestStatus
from troupe.cli import words
from troupe.cli.console import SafeConsole
from troupe.client import Folder, TroupeClient
from troupe.core.file_urls import brief, file_path
from troupe.core.media import Unread

_NAMED_FAILURES: Final = 5
_NAMED_KINDS: Final = 5
_SAY_EVERY_SECONDS: Final = 5
_OUTCOMES: Final = {
    IngestStatus.INGEST_STATUS_CREATED: "new",
    IngestStatus.INGEST_STATUS_UNCHANGED: "unchanged",
    IngestStatus.INGEST_STATUS_REPLACED: "replaced",
    IngestStatus.INGEST_STATUS_FAILED: "failed",
}


@dataclass
class Tally:
    """What became of a folder."""

    outcomes: Counter[str] = field(default_factory=Counter)
    passages: int = 0
    forgotten: int = 0

    @property
    def stored(self) -> int:
        """How many documents are stored now."""
        return self.outcomes.total() - self.outcomes["failed"]


class _Progress(Protocol):
    def update(self, text: Text) -> None: ...


async def ingest_folder(client: TroupeClient, folder: Folder, console: Console, *, verbose: bool = False) -> int:
    """Ingests the folder; says what failed or was passed over, and why. Returns how many documents are stored now.

    Without `verbose` only the first few failures are named.
    """
    tally = Tally()
    total = len(folder.files)
    with _progress(console) as progress:
        async for response in ingesting(client, folder, tally):
            result = response.result if response.HasField("result") else None
            failed = tally.outcomes["failed"]
            if result and _outcome(result) == "failed" and (verbose or failed <= _NAMED_FAILURES):
                console.print(_failure(result, folder), soft_wrap=True)
            done = f"ingesting {tally.outcomes.total()} of {words.plural(total, 'file')}"
            progress.update(Text.assemble(done, " ", (_current(response), "dim")))
    if not verbose and tally.outcomes["failed"] > _NAMED_FAILURES:
        more = f"and {tally.outcomes['failed'] - _NAMED_FAILURES:,} more, which `troupe ingest --verbose` names"
        console.print(Text(more, style="yellow"), soft_wrap=True)
    _summarize(tally, folder, console, verbose=verbose)
    return tally.stored


async def ingesting(client: TroupeClient, folder: Folder, tally: Tally) -> AsyncGenerator[IngestResponse]:
    """What the memory says while it ingests the folder; the tally follows it."""

    def note_forgotten(count: int) -> None:
        tally.forgotten += count

    async with aclosing(client.ingest(folder, on_forgotten=note_forgotten)) as responses:
        async for response in responses:
            if response.HasField("result"):
                tally.outcomes[_outcome(response.result)] += 1
                tally.passages += response.result.document.passages
            yield response


def summary(tally: Tally, folder: Folder) -> Mapping[str, object]:
    """What became of the folder, for programs."""
    return {
        "source": folder.label,
        "files": tally.outcomes.total(),
        **{name: tally.outcomes[name] for name in _OUTCOMES.values()},
        "passages": tally.passages,
        "forgotten": tally.forgotten,
        "skipped": {reason: len(paths) for reason, paths in sorted(folder.skipped.items())},
    }


def _outcome(result: IngestResult) -> str:
    return _OUTCOMES.get(result.status, "failed")


@contextmanager
def _progress(console: Console) -> "Iterator[_Progress]":
    """A line that changes on a terminal; elsewhere a line now and then."""
    if console.is_terminal:
        with console.status("") as status:
            yield status
    else:
        yield _Lines(console)


class _Lines:
    """Says on standard error how far it is, not more often than every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = SafeConsole(stderr=True) if console.file is sys.stdout else console
        self._said_at = time.monotonic()

    def update(self, text: Text) -> None:
        """Takes the newest text."""
        now = time.monotonic()
        if now - self._said_at >= _SAY_EVERY_SECONDS:
            self._said_at = now
            self._console.print(text, soft_wrap=True)


def _summarize(tally: Tally, folder: Folder, console: Console, *, verbose: bool) -> None:
    outcomes = tally.outcomes
    counts = ", ".join(f"{outcomes[name]} {name}" for name in _OUTCOMES.values() if outcomes[name])
    said = f"ingested {words.plural(outcomes.total(), 'file')} of {folder.label}"
    console.print(Text(f"{said}: {counts}" if counts else said), soft_wrap=True)
    if folder.skipped:
        console.print(Text(_skipped(folder.skipped)), soft_wrap=True)
    if verbose:
        for reason, path in ((reason, path) for reason, paths in folder.skipped.items() for path in paths):
            console.print(Text(f"skipped: {_below(path, folder)}: {reason}"), soft_wrap=True)
    if tally.forgotten:
        console.print(f"forgot {words.plural(tally.forgotten, 'document')} whose files are gone", highlight=False)


def _skipped(skipped: Mapping[str, Sequence[Path]]) -> str:
    """`skipped 3 of a kind that is not read (.py 2, .png 1), 2 hidden`."""
    parts = []
    for reason, paths in sorted(skipped.items(), key=lambda item: -len(item[1])):
        kinds = (
            Counter(path.suffix.lower() or "without an ending" for path in paths)
            if reason == Unread.UNKNOWN
            else Counter()
        )
        named = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(_NAMED_KINDS))
        more = ", …" if len(kinds) > _NAMED_KINDS else ""
        parts.append(f"{len(paths):,} {reason}" + (f" ({named}{more})" if named else ""))
    return f"skipped {', '.join(parts)}"


def _failure(result: IngestResult, folder: Folder) -> Text:
    """One line that names the file once."""
    path = file_path(result.uri).removeprefix(f"{folder.root}/")
    why = result.error.message.removeprefix(f"document {result.uri!r} ").removeprefix("it ")
    return Text(f"not ingested: {path}: {why}", style="yellow")


def _below(path: Path, folder: Folder) -> str:
    return file_path(path.as_uri()).removeprefix(f"{folder.root}/")


def _current(response: IngestResponse) -> str:
    if response.WhichOneof("event") != "progress":
        return ""
    progress = response.progress
    return f"{brief(progress.uri)} ({progress.stored_passages} of {progress.total_passages} passages)"
