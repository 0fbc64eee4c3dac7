"""Memory with the real embedder, behind the real inference service."""

from tests.support.milvus import MilvusServer, memory
from troupe.agents.memory.embedding import InferenceEmbedder
from troupe.agents.memory.settings import MemorySettings
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.core.channels import open_channel

TEXTS = {
    "sea.txt": "Sailors navigate by the stars when the coast is out of sight.",
    "kitchen.txt": "Knead the dough for ten minutes, then let it rest beneath a towel.",
    "garden.txt": "Prune the roses in late winter, before new shoots appear.",
}


async def test_passages_are_found_by_their_meaning(milvus_server: MilvusServer, inference_address: str) -> None:
    settings = MemorySettings(collection="meaning")
    async with (
        open_channel(inference_address) as channel,
        memory(milvus_server.uri, InferenceEmbedder(channel=channel), settings) as client,
    ):
        documents = [pb.DocumentSource(uri=uri, content=text.encode()) for uri, text in TEXTS.items()]
        _ = [reply async for reply in client.Ingest(pb.IngestRequest(documents=documents))]
        for query, uri in {"how do I bake bread": "kitchen.txt", "finding the way on the ocean": "sea.txt"}.items():
            found = await client.Search(pb.SearchRequest(query=query))
            assert found.passages[0].document_uri == uri
        stats = await client.GetStats(pb.GetStatsRequest())
        assert stats.dimensions == 384
        assert stats.embedding_model


# The embedder knows no Japanese and no Hindi: what it ranks first is chance, and the words decide.
SENTENCES = {
    "ガラス": "ガラスは透明で割れやすい材料です。",
    "カラス": "カラスは黒くて賢い鳥です。",
    "バス": "バスは十分おきに駅から出ます。",
    "パス": "パスは一か月ごとに更新が必要です。",
    "ハス": "ハスは夏に池で咲く花です。",
    "दिन": "दिन में आठ घंटे काम होता है।",
    "दान": "दान से स्कूल की इमारत बनी।",
    "पानी": "पानी की टंकी रविवार को साफ होती है।",
    "पान": "पान की दुकान शाम को खुलती है।",
}


async def test_words_decide_where_the_embedder_does_not_know_the_language(
    milvus_server: MilvusServer, inference_address: str
) -> None:
    settings = MemorySettings(collection="languages")
    async with (
        open_channel(inference_address) as channel,
        memory(milvus_server.uri, InferenceEmbedder(channel=channel), settings) as client,
    ):
        documents = [pb.DocumentSource(uri=word, content=text.encode()) for word, text in SENTENCES.items()]
        _ = [reply async for reply in client.Ingest(pb.IngestRequest(documents=documents))]
        for word in SENTENCES:
            best, second = (await client.Search(pb.SearchRequest(query=word, limit=2))).passages
            assert best.document_uri == word
            assert best.score > second.score
