"""The parsing process is bounded in time and memory, and one bad document does not hurt the next."""

import asyncio

import pytest

from troupe.agents.memory.parser import Parser
from troupe.core.errors import TroupeError

MEMORY = 1 << 30
SLOW = b"# Heading\n\nWords\n\n" * 1_000_000


async def test_documents_are_parsed_and_split() -> None:
    async with Parser(timeout_seconds=30, memory_bytes=MEMORY) as parser:
        document = await parser.parse(b"# T\n\nText \xc3\xbc.", uri="a", media_type="text/markdown")
    assert (document.text, document.title) == ("# T\n\nText ü.", "T")
    assert [(p.start, p.end, p.heading) for p in document.passages] == [(0, 12, "T")]


async def test_a_document_that_takes_too_long_is_given_up() -> None:
    async with Parser(timeout_seconds=10, memory_bytes=MEMORY) as parser:
        with pytest.raises(TroupeError, match="longer than 10 s"):
            await parser.parse(SLOW, uri="a", media_type="text/markdown")
        assert (await parser.parse(b"next", uri="b", media_type="text/plain")).text == "next"


async def test_a_document_that_takes_too_much_memory_is_given_up() -> None:
    async with Parser(timeout_seconds=60, memory_bytes=256 << 20) as parser:
        with pytest.raises(TroupeError, match=r"memory|crashed") as caught:
            await parser.parse(b"\xc3\xbc " * 16_000_000, uri="a", media_type="text/plain")
        assert caught.value.reason_name == "UNREADABLE_DOCUMENT"
        assert (await parser.parse(b"next", uri="b", media_type="text/plain")).text == "next"


async def test_a_cancelled_document_leaves_a_working_parser() -> None:
    async with Parser(timeout_seconds=60, memory_bytes=MEMORY) as parser:
        await parser.parse(b"first", uri="a", media_type="text/plain")
        slow = asyncio.create_task(parser.parse(SLOW, uri="a", media_type="text/markdown"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow, 0.2)
        assert (await parser.parse(b"next", uri="b", media_type="text/plain")).text == "next"


async def test_documents_may_come_at_once() -> None:
    async with Parser(timeout_seconds=60, memory_bytes=MEMORY) as parser:
        contents = [f"text {n}".encode() for n in range(20)]
        done = await asyncio.gather(*(parser.parse(c, uri="a", media_type="text/plain") for c in contents))
    assert [document.text.encode() for document in done] == contents


async def test_small_documents_get_little_time() -> None:
    async with Parser(timeout_seconds=60, memory_bytes=MEMORY) as parser:
        assert parser.seconds_for(1_000) < 6
        assert 10 < parser.seconds_for(1 << 20) < 20
        assert parser.seconds_for(100 << 20) == 60


async def test_a_project_with_bad_documents_holds_no_other() -> None:
    async with Parser(timeout_seconds=60, memory_bytes=MEMORY, processes=2) as parser:
        bad = [
            asyncio.create_task(parser.parse(SLOW, uri="a", media_type="text/markdown", project="bad"))
            for _ in range(6)
        ]
        await parser.parse(b"first", uri="b", media_type="text/plain", project="good")
        for _ in range(5):
            document = await parser.parse(b"next", uri="b", media_type="text/plain", project="good")
            assert document.text == "next"
        assert not any(task.done() for task in bad[1:])
        for task in bad:
            task.cancel()
        await asyncio.gather(*bad, return_exceptions=True)


async def test_how_it_was_read_is_told() -> None:
    async with Parser(timeout_seconds=60, memory_bytes=MEMORY) as parser:
        guessed = await parser.parse(b"caf\xe9", uri="a", media_type="text/plain")
        stated = await parser.parse(b"caf\xe9", uri="a", media_type="text/html", charset="iso-8859-2")
    assert guessed.metadata == {"encoding": "windows-1252", "encoding_guessed": "true"}
    assert stated.metadata == {"encoding": "iso-8859-2"}
