"""Documents go in, are found, read, listed, replaced and deleted, on a real Milvus."""

import asyncio
from collections.abc import Awaitable
from io import BytesIO
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import openpyxl
import pptx
import pytest

from tests.support.office import block, docx, run
from tests.support.pdfs import encrypted_pdf, pdf
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.memory.v1 import memory_service_pb2 as pb
from troupe.core.errors import TroupeError
from troupe.core.media import CSV, DOCX, EMAIL, JSON, JSON_LINES, NOTEBOOK, PDF, PPTX, READABLE, TOML, XLSX

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

GUIDE = """# Guide

How the lighthouse works, in short.

## Lamp

The lamp burns paraffin oil and is lit at dusk by the keeper.

## Lens

A Fresnel lens gathers the light into a beam that ships see from afar.

# Rules

Nobody may sleep while the lamp burns.
"""


async def ingest(
    client: "MemoryServiceAsyncStub", project: str, *documents: pb.DocumentSource
) -> list[pb.IngestResult]:
    request = pb.IngestRequest(project=project, documents=documents)
    return [reply.result async for reply in client.Ingest(request) if reply.HasField("result")]


def source(uri: str, content: str | bytes, **metadata: str) -> pb.DocumentSource:
    return pb.DocumentSource(
        uri=uri, content=content.encode() if isinstance(content, str) else content, metadata=metadata
    )


async def text_of(
    client: "MemoryServiceAsyncStub", project: str, document_id: str, start: int = 0, end: int = 0
) -> str:
    request = pb.GetDocumentRequest(project=project, document_id=document_id, start_offset=start, end_offset=end)
    return (await client.GetDocument(request)).text


async def reason_of(call: Awaitable[object]) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = TroupeError.from_rpc(caught.value)
    return error.code, error.reason_name, error.message


async def test_a_document_is_found_and_its_citation_can_be_opened(client: "MemoryServiceAsyncStub") -> None:
    (result,) = await ingest(client, "found", source("guide.md", GUIDE))
    assert result.status == pb.INGEST_STATUS_CREATED
    assert result.document.title == "Guide"
    assert result.document.text_length == len(GUIDE)
    found = await client.Search(pb.SearchRequest(project="found", query="who may not sleep"))
    best = found.passages[0]
    assert best.heading == "Rules"
    assert (best.document_title, best.document_uri) == ("Guide", "guide.md")
    assert best.text == GUIDE[best.start_offset : best.end_offset]
    opened = await text_of(client, "found", best.document_id, best.start_offset, best.end_offset)
    assert opened == best.text
    whole = await text_of(client, "found", best.document_id)
    assert whole.rstrip() == GUIDE.rstrip()
    assert len(whole) == len(GUIDE)


async def test_ingesting_again_changes_nothing(client: "MemoryServiceAsyncStub") -> None:
    (first,) = await ingest(client, "again", source("guide.md", GUIDE, lang="en"))
    (second,) = await ingest(client, "again", source("guide.md", GUIDE, lang="en"))
    assert second.status == pb.INGEST_STATUS_UNCHANGED
    assert second.document == first.document


async def test_new_content_or_metadata_replace(client: "MemoryServiceAsyncStub") -> None:
    (first,) = await ingest(client, "replace", source("a.txt", "The harbour is closed."))
    (second,) = await ingest(client, "replace", source("a.txt", "The harbour is open."))
    (third,) = await ingest(client, "replace", source("a.txt", "The harbour is open.", seen="yes"))
    assert [second.status, third.status] == [pb.INGEST_STATUS_REPLACED] * 2
    assert first.document.document_id == third.document.document_id
    found = await client.Search(pb.SearchRequest(project="replace", query="harbour"))
    assert [passage.text for passage in found.passages] == ["The harbour is open."]
    assert dict(found.passages[0].metadata) == {"seen": "yes"}
    stats = await client.GetStats(pb.GetStatsRequest(project="replace"))
    assert (stats.documents, stats.passages) == (1, 1)


async def test_two_ingests_of_one_document_at_once_store_it_once(client: "MemoryServiceAsyncStub") -> None:
    results = await asyncio.gather(*(ingest(client, "twice", source("guide.md", GUIDE)) for _ in range(4)))
    statuses = sorted(result.status for (result,) in results)
    assert statuses == [pb.INGEST_STATUS_CREATED, *[pb.INGEST_STATUS_UNCHANGED] * 3]
    stats = await client.GetStats(pb.GetStatsRequest(project="twice"))
    assert (stats.documents, stats.passages) == (1, results[0][0].document.passages)


async def test_projects_do_not_see_each_other(client: "MemoryServiceAsyncStub") -> None:
    (mine,) = await ingest(client, "mine", source("a.txt", "The password of the cellar is swordfish."))
    await ingest(client, "theirs", source("a.txt", "Nothing about cellars."))
    found = await client.Search(pb.SearchRequest(project="theirs", query="password of the cellar"))
    assert [passage.text for passage in found.passages] == ["Nothing about cellars."]
    request = pb.GetDocumentRequest(project="theirs", document_id=mine.document.document_id)
    code, reason, _ = await reason_of(client.GetDocument(request))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "DOCUMENT_NOT_FOUND")
    stats = await client.GetStats(pb.GetStatsRequest(project="nobodys"))
    assert (stats.documents, stats.passages) == (0, 0)


@pytest.mark.parametrize(
    ("value", "others"),
    [
        ('a "quoted" value', 'a "quoted" valu'),
        ("it's", "its"),
        ("back\\slash", "backslash"),
        ('" or project != "', "x"),
        ("two\nlines\tand tab", "two lines and tab"),
        ("ключ — значение", "ключ"),
        ("", " "),
    ],
)
async def test_metadata_filters_take_any_text(client: "MemoryServiceAsyncStub", value: str, others: str) -> None:
    await ingest(client, "filters", source("yes.txt", "Apples.", mark=value), source("no.txt", "Apples.", mark=others))
    await ingest(client, "elsewhere", source("yes.txt", "Apples.", mark=value))
    found = await client.Search(pb.SearchRequest(project="filters", query="apples", filter={"mark": value}))
    assert [passage.document_uri for passage in found.passages] == ["yes.txt"]
    none = await client.Search(pb.SearchRequest(project="filters", query="apples", filter={'m"ark': value}))
    assert not none.passages


async def test_search_within_documents(client: "MemoryServiceAsyncStub") -> None:
    results = await ingest(client, "within", *(source(f"{n}.txt", f"Pears, part {n}.") for n in range(3)))
    wanted = results[1].document.document_id
    request = pb.SearchRequest(project="within", query="pears", document_ids=[wanted, '"] or true or x in ["'])
    assert {passage.document_id for passage in (await client.Search(request)).passages} == {wanted}
    request = pb.SearchRequest(project="within", query="pears", document_ids=["unknown"])
    assert not (await client.Search(request)).passages


async def test_documents_are_listed_in_pages_by_uri(client: "MemoryServiceAsyncStub") -> None:
    uris = ["a.txt", "a/b.txt", "b 'quoted'.txt", 'b "quoted".txt', "c\\d.txt", "ü.txt", "文.txt", *map(str, range(8))]
    await ingest(client, "pages", *(source(uri, f"About {uri}") for uri in uris))
    listed, token = [], ""
    while True:
        page = await client.ListDocuments(pb.ListDocumentsRequest(project="pages", page_size=4, page_token=token))
        assert 0 < len(page.documents) <= 4
        listed += [document.uri for document in page.documents]
        if not (token := page.next_page_token):
            break
    assert listed == sorted(uris)


@pytest.mark.parametrize("token", ["nonsense", "W10=", "WyJvdGhlciIsICJhIl0=", "ü", "W1tb" * 512])
async def test_a_bad_page_token_is_refused(client: "MemoryServiceAsyncStub", token: str) -> None:
    request = pb.ListDocumentsRequest(project="pages", page_token=token)
    code, reason, message = await reason_of(client.ListDocuments(request))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
    assert "`page_token`" in message


async def test_delete(client: "MemoryServiceAsyncStub") -> None:
    results = await ingest(client, "delete", source("a.txt", "Plums."), source("b.txt", "Plums."))
    ids = [result.document.document_id for result in results]
    request = pb.DeleteRequest(project="delete", document_ids=[ids[0], "unknown", '" or true or "'])
    assert (await client.Delete(request)).deleted_documents == 1
    assert (await client.Delete(request)).deleted_documents == 0
    found = await client.Search(pb.SearchRequest(project="delete", query="plums"))
    assert [passage.document_id for passage in found.passages] == [ids[1]]


async def test_a_document_that_cannot_be_read_fails_alone(client: "MemoryServiceAsyncStub") -> None:
    results = await ingest(
        client,
        "bad",
        source("fine.txt", "Fine."),
        source("not.pdf", b"this is no PDF"),
        source("broken.pdf", b"%PDF-1.7\nbroken"),
        source("locked.pdf", encrypted_pdf("Secret.")),
        source("binary.txt", b"\x7fELF\0\0"),
        source("empty.md", ""),
        source("large.txt", b"words " * (20_000_000 // 6)),
        pb.DocumentSource(uri="x", content=b"x", media_type="image/png"),
        source("also fine.pdf", pdf("A page about quinces.")),
    )
    by_uri = {result.uri: result for result in results}
    assert len(by_uri) == 9
    assert {uri for uri, result in by_uri.items() if result.status == pb.INGEST_STATUS_CREATED} == {
        "fine.txt",
        "also fine.pdf",
    }
    expected = {
        "not.pdf": "not a PDF",
        "broken.pdf": "damaged",
        "locked.pdf": "encrypted",
        "binary.txt": "NUL",
        "empty.md": "empty",
        "x": "image/png",
    }
    for uri, words in expected.items():
        error = by_uri[uri].error
        assert error.reason == ErrorReason.ERROR_REASON_UNREADABLE_DOCUMENT
        assert words in error.message
        assert repr(uri) in error.message
        assert not error.retryable
    large = by_uri["large.txt"].error
    assert large.reason == ErrorReason.ERROR_REASON_DOCUMENT_TOO_LARGE
    assert "`agents.memory.max_document_bytes`" in large.message


async def test_pages_of_a_pdf_are_cited(client: "MemoryServiceAsyncStub") -> None:
    await ingest(client, "pdf", source("report.pdf", pdf("Figs ripen in June.", "Dates ripen in September.")))
    found = await client.Search(pb.SearchRequest(project="pdf", query="when do dates ripen"))
    assert found.passages[0].heading == "Page 2"
    assert found.passages[0].text == "Dates ripen in September."


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (
            "القاهِرة هي عاصمة مصر. " * 30 + "يقع المتحف الكبير بجوار الأهرامات. " + "النيل نهر طويل. " * 30,
            "المتحف الكبير",
        ),
        ("ירושלים היא עיר עתיקה. " * 30 + "המוזיאון פתוח ביום שלישי. " + "הים כחול. " * 30, "המוזיאון"),
        ("北京是中国的首都。" * 40 + "博物馆星期二开放。" + "长江很长。" * 40, "博物馆"),
        ("😀 smileys 👩‍👩‍👧 " * 60 + "the hidden word is rhubarb. " + "e\u0301 " * 300, "rhubarb"),
    ],
    ids=["arabic", "hebrew", "chinese", "emoji"],
)
async def test_every_script_is_found_at_its_place(client: "MemoryServiceAsyncStub", text: str, query: str) -> None:
    (result,) = await ingest(client, "scripts", source(f"{len(text)}.txt", text))
    request = pb.SearchRequest(project="scripts", query=query, document_ids=[result.document.document_id])
    best = (await client.Search(request)).passages[0]
    assert query in best.text
    assert best.text == text[best.start_offset : best.end_offset]
    assert (await text_of(client, "scripts", best.document_id)).rstrip() == text.rstrip()


async def test_progress_counts_up_to_the_whole(client: "MemoryServiceAsyncStub") -> None:
    text = "\n\n".join(
        f"Paragraph {n} speaks of the number {n} and " + "of many other things " * 30 for n in range(300)
    )
    request = pb.IngestRequest(project="progress", documents=[source("long.txt", text)])
    replies = [reply async for reply in client.Ingest(request)]
    progress = [reply.progress for reply in replies if reply.HasField("progress")]
    stored = [event.stored_passages for event in progress]
    assert len(stored) > 1
    assert stored == sorted(stored)
    assert stored[-1] == progress[-1].total_passages == replies[-1].result.document.passages


async def test_a_uri_given_twice_is_refused(client: "MemoryServiceAsyncStub") -> None:
    request = pb.IngestRequest(project="same", documents=[source("a", "x"), source("a", "y")])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.Ingest(request).read()
    error = TroupeError.from_rpc(caught.value)
    assert (error.reason_name, error.violations[0].field) == ("INVALID_REQUEST", "documents[1].uri")


async def test_a_range_of_text_that_ends_before_it_starts_is_refused(client: "MemoryServiceAsyncStub") -> None:
    request = pb.GetDocumentRequest(document_id="x", start_offset=5, end_offset=3)
    code, reason, message = await reason_of(client.GetDocument(request))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert "`end_offset`" in message


async def test_every_kind_that_is_read_is_stored_under_its_media_type(client: "MemoryServiceAsyncStub") -> None:
    documents = [
        pb.DocumentSource(uri=f"test://{kind}", content=sample(kind), media_type=kind) for kind in sorted(READABLE)
    ]
    results = await ingest(client, "kinds", *documents)
    assert {result.uri: result.error.message for result in results if result.error.message} == {}
    listed = (await client.ListDocuments(pb.ListDocumentsRequest(project="kinds", page_size=200))).documents
    assert {document.uri: document.media_type for document in listed} == {d.uri: d.media_type for d in documents}


def sample(media_type: str) -> bytes:
    """A small document of a kind."""
    text = "The lighthouse is painted every second year."
    if media_type == PDF:
        return pdf(text)
    if media_type == DOCX:
        return docx(block(run(text)))
    opened = BytesIO()
    if media_type == XLSX:
        book = openpyxl.Workbook()
        book.worksheets[0]["A1"] = text
        book.save(opened)
    elif media_type == PPTX:
        deck = pptx.Presentation()
        deck.slides.add_slide(deck.slide_layouts[0]).shapes.title.text = text
        deck.save(opened)
    return opened.getvalue() or SAMPLES.get(media_type, text).encode()


SAMPLES = {
    JSON: '{"text": "The lighthouse is painted."}',
    JSON_LINES: '{"text": "The lighthouse is painted."}\n',
    NOTEBOOK: '{"cells": [{"cell_type": "markdown", "source": "The lighthouse."}], "nbformat": 4}',
    EMAIL: "Subject: Paint\nContent-Type: text/plain\n\nThe lighthouse is painted.\n",
    CSV: "what,when\nlighthouse,2026\n",
    TOML: 'lighthouse = "painted"\n',
}
