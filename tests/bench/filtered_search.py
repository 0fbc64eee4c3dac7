"""What a filter costs a search: `python -m tests.bench.filtered_search [--passages 5000 20000 100000] [--milvus URI]`.

Random unit vectors and words in a Milvus of its own (milvus-lite), or in one that runs already. Each round asks every
kind of search once, with another query, so that all share the noise; times are those of the whole search.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tests.support.milvus import MilvusServer
from troupe.agents.memory import ids
from troupe.agents.memory.milvus.store import MilvusStore
from troupe.agents.memory.settings import MemorySettings
from troupe.agents.memory.store import Hold, Query, StoredDocument, StoredPassage

DIMENSIONS: Final = 384
OF_DOCUMENT: Final = 5  # passages
WORDS: Final = [f"word{number}" for number in range(5_000)]
BATCH: Final = 200  # documents a call
SHARES: Final = {"1 %": 100, "10 %": 10, "100 %": 1}


@dataclass(frozen=True)
class Kind:
    """A kind of search."""

    name: str
    project: str = "default"
    sources: Sequence[Sequence[str]] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def kinds() -> Sequence[Kind]:
    """The plain one comes first."""
    folders = [Kind(f"folder of {share}", sources=[[f"/data/{every}"]]) for share, every in SHARES.items() if every > 1]
    named = [Kind(f"source of {share}", sources=[[f"every {every}"]]) for share, every in SHARES.items()]
    marked = [Kind(f"key=value of {share}", metadata={"every": str(every)}) for share, every in SHARES.items()]
    whole = Kind("folder of 100 %", sources=[["/data"]])
    return [Kind("plain"), *folders, whole, *named, *marked, Kind("empty project", project="nobodys")]


def document(number: int) -> StoredDocument:
    """The `number`th."""
    below = next(every for every in (100, 10, 1) if number % every == 0)
    uri = f"file:///data/{below}/{number}.txt"
    metadata = {"every": str(below)}
    stored = ids.attempt_version("0" * 32)
    return StoredDocument(
        ids.document_id("default", uri), "default", uri, uri, "text/plain", "", stored, OF_DOCUMENT, 100, metadata, 1
    )


def passages(of: StoredDocument, sources: Sequence[str], draw: random.Random) -> Sequence[StoredPassage]:
    """Its passages."""
    return [
        StoredPassage(
            passage_id=f"{of.document_id}{number}",
            number=number,
            document_id=of.document_id,
            project=of.project,
            version=of.version,
            title=of.title,
            uri=of.uri,
            heading="",
            start=number,
            end=number + 1,
            gap="",
            text=" ".join(draw.choices(WORDS, k=80)),
            metadata=of.metadata,
            sources=sources,
        )
        for number in range(OF_DOCUMENT)
    ]


def vectors(count: int, generator: np.random.Generator) -> list[list[float]]:
    """Random unit vectors."""
    drawn = generator.standard_normal((count, DIMENSIONS)).astype(np.float32)
    unit: list[list[float]] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).tolist()
    return unit


def holds(documents: Sequence[StoredDocument], sources: Sequence[Sequence[str]]) -> Sequence[Hold]:
    """What each document is held by."""
    return [
        Hold("default", name, each.document_id, each.uri)
        for each, names in zip(documents, sources, strict=True)
        for name in names
    ]


async def fill(store: MilvusStore, first: int, last: int) -> None:
    """Stores documents by number."""
    draw, generator = random.Random(first), np.random.default_rng(first)
    await store.prepare("random", DIMENSIONS)
    for start in range(first, last, BATCH):
        numbers = range(start, min(start + BATCH, last))
        documents = [document(number) for number in numbers]
        named = [[f"every {every}" for every in SHARES.values() if not number % every] for number in numbers]
        rows = [row for each, names in zip(documents, named, strict=True) for row in passages(each, names, draw)]
        await store.put_passages(rows, vectors(len(rows), generator))
        folders = [["/data", f"/data/{each.metadata['every']}"] for each in documents]
        await store.holds.put(holds(documents, folders))
        await store.holds.put(holds(documents, named), marked=True)
        await store.put_documents(documents)
    await store.settle()


async def measure(store: MilvusStore, rounds: int) -> Mapping[str, Sequence[float]]:
    """Milliseconds by kind."""
    draw, generator = random.Random(7), np.random.default_rng(7)
    times: dict[str, list[float]] = {kind.name: [] for kind in kinds()}
    for number in range(-2, rounds):
        for kind in kinds():
            query = Query(
                project=kind.project,
                text=" ".join(draw.choices(WORDS, k=6)),
                vector=vectors(1, generator)[0],
                model="random",
                limit=12,
                metadata=kind.metadata,
                sources=kind.sources,
            )
            began = time.perf_counter()
            await store.search(query)
            if number >= 0:
                times[kind.name].append((time.perf_counter() - began) * 1000)
    return times


def table(times: Mapping[str, Sequence[float]]) -> str:
    """Median, 99th percentile, and the median of the ratios to the plain search of the same round."""
    plain = times["plain"]
    lines = ["| search | p50 ms | p99 ms | of plain |", "|---|---|---|---|"]
    for name, values in times.items():
        ratio = statistics.median(value / base for value, base in zip(values, plain, strict=True))
        p99 = statistics.quantiles(values, n=100)[98]
        lines.append(f"| {name} | {statistics.median(values):.0f} | {p99:.0f} | {ratio:.2f} |")
    return "\n".join(lines)


async def main(sizes: Sequence[int], rounds: int, uri: str, collection: str) -> None:
    """Runs the benchmark."""
    async with AsyncExitStack() as stack:
        if not uri:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = MilvusServer(data_dir=folder)
            server.start()
            stack.callback(server.stop)
            uri = server.uri
        settings = MemorySettings(collection=collection)
        store = await stack.enter_async_context(MilvusStore(uri=uri, settings=settings))
        stored = 0
        for size in sorted(sizes):
            began = time.perf_counter()
            await fill(store, stored // OF_DOCUMENT, size // OF_DOCUMENT)
            stored = size
            print(f"\n{size:,} passages, stored in {time.perf_counter() - began:.0f} s\n")
            print(table(await measure(store, rounds)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--passages", type=int, nargs="+", default=[5_000, 20_000, 100_000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--milvus", default="")
    parser.add_argument("--collection", default="filtered_search")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.passages, arguments.rounds, arguments.milvus, arguments.collection))
