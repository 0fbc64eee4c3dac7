"""Words of many scripts, through ingestion and search: each finds its own sentence first.

The others of its script often differ in one mark only.
"""

from typing import TYPE_CHECKING

import pytest

from troupe.api.memory.v1 import memory_service_pb2 as pb

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

# What is asked for, and the sentence that it stands in.
SCRIPTS = {
    "arabic": """
        كتاب | الْمَكْتَبَةُ فِيهَا كِتَابٌ قَدِيم.
        كاتب | جَاءَ كَاتِبٌ مِنَ الْمَدِينَة.
        مکتب | هُنَا مَکْتَبٌ صَغِير.
    """,
    "bengali": """
        দিন | শীতে দিন ছোট হয়।
        দান | তিনি দান করেন।
        দীন | দীন মানুষের ঘর।
    """,
    "cyrillic": """
        мой | Это мой дом.
        мои | Здесь мои книги.
        елка | Зимой стоит ёлка.
    """,
    "devanagari": """
        कल | कल दूध आएगा।
        काल | काल बदल गया।
        कुल | कुल दस घर।
        क़ल | क़ल पुराना है।
    """,
    "greek": """
        πότε | Πότε φεύγει το τρένο;
        ποτέ | Ποτέ δεν αργεί.
        νόμος | Υπάρχει νόμος.
        νομός | Υπάρχει μεγάλος νομός.
    """,
    "han": """
        水 | 水在一百度沸腾。
        银行 | 银行九点开门。
        冰 | 冰很冷。
    """,
    "hangul": """
        물 | 물은 백 도에서 끓는다.
        불 | 불이 뜨겁다.
        학교 | 학교에서 배운다.
        학과 | 학과가 많다.
    """,
    "hebrew": """
        ספר | הַסֵּפֶר: סֵפֶר יָשָׁן.
        ספרה | סִפְרָה אַחַת.
        בית | בַּיִת גָּדוֹל.
    """,
    "kana": """
        パン | パンは朝に焼く。
        バン | バンは荷物を運ぶ。
        ハン | ハンは赤い印だ。
        ｶﾞﾑ | ガムは甘い。
        カム | カムは回る。
    """,
    "khmer": """
        ទឹក | ទឹកត្រជាក់។
        ទូក | ទូកធំ។
    """,
    "latin": """
        péché | Le péché est pardonné.
        pêche | La pêche ouvre en mai.
        má | Con gọi má.
        mạ | Đồng có mạ.
        Zürich | Zürich liegt am See.
    """,
    "myanmar": """
        ရေ | ရေအေးသည်။
        ရာ | ရာသီပူသည်။
    """,
    "tamil": """
        பல | பல நாட்கள் மழை.
        பால் | பால் வெள்ளை.
        பலா | பலா இனிக்கும்.
    """,
    "thai": """
        ป่า | ป่ามีเสือ
        ป้า | ป้าขายผัก
        ปา | เขาปาบอล
    """,
    "unseen": """
        cooperation | The co\u00adoper\u00ada\u00adtion began.
        zerowidth | A zero\u200bwidth sign.
        می\u200cروم | او گفت میروم.
    """,
}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_word_finds_its_own_sentence_first(client: "MemoryServiceAsyncStub", script: str) -> None:
    sentences = dict(line.strip().split(" | ") for line in SCRIPTS[script].strip().splitlines())
    await ingest(client, script, sentences)
    for word in sentences:
        best, second = (await client.Search(pb.SearchRequest(project=script, query=word, limit=2))).passages
        assert best.document_uri == f"test://{word}"
        assert best.score > second.score, word


async def test_who_types_no_accents_finds_them(client: "MemoryServiceAsyncStub") -> None:
    sentences = {"Zürich": "Zürich liegt am See.", "Málaga": "Málaga está al sur.", "Αθήνα": "Στην Αθήνα βρέχει."}
    await ingest(client, "accents", sentences)
    for typed, word in {"zurich": "Zürich", "MALAGA": "Málaga", "ΑΘΗΝΑ": "Αθήνα"}.items():
        found = (await client.Search(pb.SearchRequest(project="accents", query=typed, limit=2))).passages
        assert found[0].document_uri == f"test://{word}"


async def ingest(client: "MemoryServiceAsyncStub", project: str, sentences: dict[str, str]) -> None:
    documents = [
        pb.DocumentSource(uri=f"test://{word}", content=sentence.encode(), media_type="text/plain")
        for word, sentence in sentences.items()
    ]
    results = [r.result async for r in client.Ingest(pb.IngestRequest(project=project, documents=documents))]
    assert [r.status for r in results if r.uri] == [pb.INGEST_STATUS_CREATED] * len(sentences)
