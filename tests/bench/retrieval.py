"""Retrieval quality on the Cranfield collection, and how fast documents are taken in.

`python -m tests.bench.retrieval` starts Triton, the inference service and Milvus, ingests the 1,400 abstracts and asks
the 225 questions. The collection is read from `../shared/data/cranfield`; without it, this says so and ends.
"""

import asyncio
import math
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.inference import inference_server, until_health
from tests.support.milvus import MilvusServer, memory
from tests.support.processes import running
from tests.support.triton import TritonServer
from troupe.agents.memory.embedding import InferenceEmbedder
from troupe.agents.memory.settings import MemorySettings
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.core.channels import open_channel
from troupe.inference.models.repository import prepare
from troupe.inference.models.settings import ModelsSettings, weights_folder

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

DATA = Path(__file__).parents[3] / "shared" / "data" / "cranfield"
DEPTH = 10


def abstracts() -> Mapping[str, tuple[str, str]]:
    """Title and text by document number."""
    source = (DATA / "cran.all.1400.xml").read_text()
    return {
        number: (" ".join(title.split()), text)
        for number, title, text in re.findall(
            r"<docno>(\d+)</docno>.*?<title>(.*?)</title>.*?<text>(.*?)</text>", source, re.DOTALL
        )
    }


def questions() -> Sequence[str]:
    """The questions in order: judgments name them by their place."""
    found = re.findall(r"<title>(.*?)</title>", (DATA / "cran.qry.xml").read_text(), re.DOTALL)
    return [" ".join(question.split()) for question in found]


def judgments() -> Mapping[int, set[str]]:
    """The relevant documents of each question."""
    relevant: dict[int, set[str]] = {}
    for line in (DATA / "cranqrel.trec.txt").read_text().splitlines():
        question, _, document, grade = line.split()
        if int(grade) > 0:
            relevant.setdefault(int(question), set()).add(document)
    return relevant


def scores(ranking: Sequence[str], relevant: set[str]) -> tuple[float, float, float]:
    """NDCG, recall and reciprocal rank of the first ten, with binary relevance."""
    hits = [document in relevant for document in ranking[:DEPTH]]
    gain = sum(hit / math.log2(rank + 2) for rank, hit in enumerate(hits))
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(len(relevant), DEPTH)))
    return gain / ideal, sum(hits) / len(relevant), 1 / (hits.index(True) + 1) if any(hits) else 0.0


async def ingest(client: "MemoryServiceAsyncStub") -> None:
    documents = [
        pb.DocumentSource(uri=f"{number}.txt", title=title, content=text.encode())
        for number, (title, text) in abstracts().items()
        if text.strip()
    ]
    started = time.perf_counter()
    for start in range(0, len(documents), 200):
        async for _ in client.Ingest(pb.IngestRequest(documents=documents[start : start + 200])):
            pass
    seconds = time.perf_counter() - started
    stats = await client.GetStats(pb.GetStatsRequest())
    rates = f"{stats.documents / seconds:.0f} documents/s, {stats.passages / seconds:.0f} passages/s"
    print(f"ingested {stats.documents} documents, {stats.passages} passages in {seconds:.1f} s: {rates}")


async def ask(client: "MemoryServiceAsyncStub") -> None:
    results, times_ms = [], []
    for place, question in enumerate(questions(), 1):
        if relevant := judgments().get(place):
            started = time.perf_counter()
            found = await client.Search(pb.SearchRequest(query=question, limit=50))
            times_ms.append((time.perf_counter() - started) * 1000)
            ranking = list(dict.fromkeys(p.document_uri.removesuffix(".txt") for p in found.passages))
            results.append(scores(ranking, relevant))
    ndcg, recall, mrr = (statistics.mean(column) for column in zip(*results, strict=True))
    print(f"{len(results)} questions: nDCG@10 {ndcg:.4f}  Recall@10 {recall:.4f}  MRR@10 {mrr:.4f}")
    print(f"search: p50 {statistics.median(times_ms):.1f} ms, p99 {statistics.quantiles(times_ms, n=100)[98]:.1f} ms")


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


async def main() -> None:
    """Runs the benchmark."""
    if not DATA.exists():
        sys.exit(f"skipped: the Cranfield collection is not at {DATA}")
    models = ModelsSettings.load()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = models.cache.expanduser() / "test-repository"
        prepare(repository, weights=weights_folder(models), cache=models.cache)
        triton = TritonServer(repository, folder)
        stack.callback(triton.clean)
        stack.enter_context(running(triton.launch(), log=triton.log))
        env = {"TROUPE_INFERENCE__BACKENDS__TRITON__URL": triton.address}
        inference = stack.enter_context(inference_server(env, log=folder / "inference.log"))
        milvus = MilvusServer(data_dir=folder)
        stack.callback(milvus.stop)
        milvus.start()
        await until_health(inference, serving=True)
        channel = await stack.enter_async_context(open_channel(inference))
        embedder = InferenceEmbedder(channel=channel)
        client = await stack.enter_async_context(memory(milvus.uri, embedder, MemorySettings()))
        print(f"milvus-lite: {resident_mib(milvus.process.pid):.0f} MiB resident when empty")
        await ingest(client)
        await ask(client)
        print(f"milvus-lite: {resident_mib(milvus.process.pid):.0f} MiB resident at the end")


if __name__ == "__main__":
    asyncio.run(main())
