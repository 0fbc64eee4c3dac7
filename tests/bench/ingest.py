"""How fast documents are taken in, and what part of that is the embedding model: `python -m tests.bench.ingest`.

Starts Triton, the inference service and Milvus, and ingests 96 files of some 8 KB. What the model needs alone is taken
in the same run, over the same texts: the share is its time by that of the whole ingest. Rounds alternate the two.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc.aio

from tests.support.inference import inference_server, until_health
from tests.support.milvus import MilvusServer, memory
from tests.support.processes import running
from tests.support.triton import TritonServer
from troupe.agents.memory import ids
from troupe.agents.memory.embedding import InferenceEmbedder
from troupe.agents.memory.ingestion import embedded_text, passages_of
from troupe.agents.memory.parser import Parser
from troupe.agents.memory.settings import MemorySettings
from troupe.agents.memory.shared_batches import SharedBatches
from troupe.agents.memory.store import StoredDocument
from troupe.api.inference.v1 import inference_service_pb2 as inference_pb
from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.core.channels import open_channel
from troupe.inference.models.repository import prepare
from troupe.inference.models.settings import ModelsSettings, weights_folder

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

ROOT: Final = Path(__file__).parents[2]
FILE_BYTES: Final = 8_000


@dataclass(frozen=True)
class Round:
    """Seconds."""

    alone: float
    ingest: float


def corpus(files: int) -> Sequence[pb.DocumentSource]:
    """Files of Markdown made of the paragraphs of the project's own pages, none like another."""
    pages = sorted(path for path in (ROOT / "docs").rglob("*.md"))
    paragraphs = [part for page in pages for part in page.read_text().split("\n\n") if len(part) > 80]
    draw = random.Random(5)
    documents = []
    for number in range(files):
        text = f"# File {number}\n"
        while len(text) < FILE_BYTES:
            text += f"\n## Section {len(text)}\n\n{draw.choice(paragraphs)}\n"
        documents.append(pb.DocumentSource(uri=f"file:///corpus/{number}.md", content=text.encode()))
    return documents


async def texts_of(documents: Sequence[pb.DocumentSource]) -> Sequence[str]:
    """What is embedded of them."""
    texts: list[str] = []
    async with Parser(timeout_seconds=60, memory_bytes=1 << 30) as parser:
        for source in documents:
            split = await parser.parse(source.content, uri=source.uri, media_type="text/markdown")
            stored = StoredDocument(
                "d", "p", source.uri, split.title, "text/markdown", "", ids.attempt_version("0"), 0, 0, {}, 0
            )
            texts += [embedded_text(passage) for passage in passages_of(stored, split)]
    return texts


async def count_tokens(channel: grpc.aio.Channel, texts: Sequence[str]) -> int:
    """By the model's own count."""
    stub, tokens = InferenceServiceStub(channel), 0
    for start in range(0, len(texts), 64):
        reply = await stub.Embed(inference_pb.EmbedRequest(texts=texts[start : start + 64]))
        tokens += reply.usage.input_tokens
    return tokens


async def one_round(
    client: "MemoryServiceAsyncStub", embedder: SharedBatches, documents: Sequence[pb.DocumentSource], number: int
) -> Round:
    """The model alone, then everything; texts differ from round to round, so that no cache knows them."""
    changed = [
        pb.DocumentSource(uri=each.uri, content=each.content.replace(b"\n\n", f" {number}\n\n".encode()))
        for each in documents
    ]
    texts = [f"{text} alone" for text in await texts_of(changed)]
    began = time.perf_counter()
    await embedder.embed(texts)
    alone = time.perf_counter() - began
    began = time.perf_counter()
    async for _ in client.Ingest(pb.IngestRequest(documents=changed, project=f"round-{number}", source="/corpus")):
        pass
    return Round(alone, time.perf_counter() - began)


async def main(files: int, rounds: int) -> None:
    """Runs the benchmark."""
    models, settings = ModelsSettings.load(), MemorySettings()
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
        client = await stack.enter_async_context(memory(milvus.uri, InferenceEmbedder(channel=channel), settings))
        shared = SharedBatches(
            InferenceEmbedder(channel=channel), batch=settings.embed_batch, concurrency=settings.embed_concurrency
        )
        documents = corpus(files)
        texts = await texts_of(documents)
        tokens = await count_tokens(channel, texts)
        size = sum(len(each.content) for each in documents)
        print(f"{files} files, {size / 1000:.0f} KB, {len(texts)} passages, {tokens} tokens; one round to warm up")
        await one_round(client, shared, documents[:8], 0)
        done: list[Round] = []
        for number in range(1, rounds + 1):
            each = await one_round(client, shared, documents, number)
            print(
                f"alone {each.alone:.1f} s, ingest {each.ingest:.1f} s, share {each.alone / each.ingest:.0%}",
                flush=True,
            )
            done.append(each)
        ingest = statistics.median(each.ingest for each in done)
        share = statistics.median(each.alone / each.ingest for each in done)
        print(f"{len(texts) / ingest:.1f} passages/s, {tokens / ingest:.0f} tokens/s, the model's share {share:.0%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.files, arguments.rounds))
