"""`python -m tests.support.memory_worker`: does things to a memory in processes that may be killed at any point.

Each line of standard input is a Milvus' URI, a project and what to do; a process of its own does it, forked from this
one, which has imported all that takes long. The line is answered with its id, then with how it ended.
"""

import asyncio
import os
import sys
from typing import Final

import pymilvus  # noqa: F401 - imported once for all that are forked

from tests.support.milvus import WordEmbedder
from troupe.agents.memory.embedding import Embedder
from troupe.agents.memory.ingestion import Ingestion
from troupe.agents.memory.membership import Membership
from troupe.agents.memory.milvus.store import MilvusStore
from troupe.agents.memory.parser import Parser
from troupe.agents.memory.removal import Removal
from troupe.agents.memory.settings import MemorySettings
from troupe.api.memory.v1 import memory_service_pb2 as pb

SETTINGS: Final = MemorySettings(embed_batch=2, embed_concurrency=1)
URI: Final = "file:///watch/keeper.md"
PARTS: Final = 5


def text_of(version: str) -> str:
    """A document of some passages, each of which names the version."""
    return "\n\n".join(
        f"# Part {n}\n\nThe {version} keeper: " + f"lighthouse {version} {n} " * 20 for n in range(PARTS)
    )


async def work(uri: str, project: str, what: str) -> None:
    """`store VERSION`, or `forget`."""
    embedder: Embedder = WordEmbedder()
    async with (
        MilvusStore(uri=uri, settings=SETTINGS) as store,
        Parser(timeout_seconds=60, memory_bytes=1 << 30) as parser,
    ):
        membership = Membership(store=store)
        if what == "forget":
            await Removal(store=store, membership=membership).forget(project, "/watch")
            return
        ingestion = Ingestion(store=store, membership=membership, embedder=embedder, parser=parser, settings=SETTINGS)
        document = pb.DocumentSource(uri=URI, content=text_of(what).encode(), media_type="text/markdown")
        known = await ingestion.join(project, "/watch", [document])
        await ingestion.ingest(project, "/watch", document, known.get(URI), lambda *_: None)
        await store.settle()


def main() -> None:
    """Serves until standard input ends."""
    for line in sys.stdin:
        uri, project, what = line.split()
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)  # until the parent's caller knows whom it kills
            asyncio.run(work(uri, project, what))
            os._exit(0)
        os.close(ready)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        sys.stdin.readline()
        os.close(go)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
