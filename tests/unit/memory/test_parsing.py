import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pdfs import encrypted_pdf, pdf
from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.encoding import decode
from troupe.agents.memory.parsing.media import media_type_of
from troupe.agents.memory.parsing.parse import parse
from troupe.core.errors import TroupeError
from troupe.core.media import HTML, MARKDOWN, PDF, TEXT


def problem(content: bytes, media_type: str) -> str:
    with pytest.raises(TroupeError) as caught:
        parse(content, uri="doc", media_type=media_type)
    assert caught.value.reason_name == "UNREADABLE_DOCUMENT"
    assert "'doc'" in caught.value.message
    return caught.value.message


def html(source: str) -> ParsedDocument:
    return parse(source.encode(), uri="doc", media_type=HTML)


@pytest.mark.parametrize(
    ("uri", "declared", "content", "expected"),
    [
        ("a.md", "", b"", MARKDOWN),
        ("A.MARKDOWN", "", b"", MARKDOWN),
        ("https://x.org/a.html?b=c.pdf#d", "", b"", HTML),
        ("a.pdf", "", b"", PDF),
        ("a.txt", "", b"<html>", TEXT),
        ("a", "", b"%PDF-1.4", PDF),
        ("a", "", b" <!DOCTYPE HTML>", HTML),
        ("a", "", b"words", TEXT),
        ("a.txt", "Text/HTML; charset=utf-8", b"", HTML),
        ("a", "text/x-python", b"", "text/x-python"),
        ("a", "text/unheard-of", b"", TEXT),
        ("a", "text/x-markdown", b"", MARKDOWN),
    ],
)
def test_media_types(uri: str, declared: str, content: bytes, expected: str) -> None:
    assert media_type_of(uri, declared, content) == expected


def test_an_unknown_media_type_is_refused() -> None:
    with pytest.raises(TroupeError, match="'image/png' is not read"):
        media_type_of("a", "image/png", b"")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_marks(encoding: str) -> None:
    assert decode("äöü 文 \U0001f600".encode(encoding), "doc").text == "äöü 文 \U0001f600"


def test_windows_1252_is_the_last_resort() -> None:
    assert decode(b"caf\xe9 \x93quoted\x94", "doc").text == "café “quoted”"


@pytest.mark.parametrize("content", [b"\x7fELF\x02\0\0", b"\xff\xfea", b"\x89\x01\x02\x03", b"\xff\xfea\0\0\0"])
def test_binary_is_refused(content: bytes) -> None:
    with pytest.raises(TroupeError) as caught:
        decode(content, "doc")
    assert caught.value.reason_name == "UNREADABLE_DOCUMENT"


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_decoding_gives_text_or_an_error_of_the_document(content: bytes) -> None:
    try:
        text = decode(content, "doc").text
    except TroupeError as error:
        assert error.reason_name == "UNREADABLE_DOCUMENT"  # noqa: PT017 - both outcomes are right
    else:
        assert "\0" not in text
        assert text.encode().decode() == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff\ufffd"), min_size=1))
def test_the_text_of_a_text_file_is_the_file(text: str) -> None:
    assert decode(text.encode(), "doc").text == text


@pytest.mark.parametrize("text", ["\ufffd", "\ufffd\ufffd a"])
def test_a_text_that_was_lost_before_is_refused(text: str) -> None:
    with pytest.raises(TroupeError, match="has no meaning"):
        decode(text.encode(), "doc")


def test_markdown_structure() -> None:
    text = "Intro.\r\n\r\n# The *big* `Title`\r\n\r\nText\r\n\r\nSub\r\n---\r\n\r\n```\r\n# no heading\r\n```\r\n"
    document = parse(text.encode(), uri="doc", media_type=MARKDOWN)
    assert document.text == text
    assert document.title == "The big Title"
    assert [(h.level, h.title) for h in document.headings] == [(1, "The big Title"), (2, "Sub")]
    assert [text[h.start :][:3] for h in document.headings] == ["# T", "Sub"]
    assert [text[a.start : a.end] for a in document.atoms] == ["```\r\n# no heading\r\n```\r\n"]


def test_front_matter() -> None:
    text = '---\ntitle: "From the front"\ntags: [a]\n---\n\n# Heading\n\nText.\n'
    document = parse(text.encode(), uri="doc", media_type=MARKDOWN)
    assert document.title == "From the front"
    assert [h.title for h in document.headings] == ["Heading"]


def test_html_is_read_without_its_furniture() -> None:
    document = html(
        "<!doctype html><head><title>A &amp; B</title><style>x{}</style></head><body><nav>Home</nav>"
        "<h1>The <b>Title</b></h1><p>One\n two <i>three</i>.</p><p hidden>Hidden</p><script>bad()</script>"
        "<ul><li>first</li><li>second</li></ul><pre>a\n  b</pre>"
        "<table><tr><th>n</th><th>v</th></tr><tr><td>x</td><td>1</td></tr></table><footer>Imprint</footer>"
    )
    assert document.title == "A & B"
    assert document.text == "The Title\n\nOne two three.\n\nfirst\nsecond\n\na\n  b\n\nn | v\nx | 1"
    assert [(h.level, h.title, h.start, h.end) for h in document.headings] == [(1, "The Title", 0, 9)]
    assert [document.text[a.start : a.end] for a in document.atoms] == ["a\n  b", "n | v\nx | 1"]


def test_html_title_falls_back_to_the_first_heading() -> None:
    assert html("<h2>Two</h2><h1>One</h1>x").title == "One"


def test_html_charset() -> None:
    content = "<meta charset='koi8-r'><p>Привет".encode("koi8-r")
    assert parse(content, uri="doc", media_type=HTML).text == "Привет"


def test_deeply_nested_html() -> None:
    assert html("<div>" * 5_000 + "deep").text == "deep"


@given(st.text(alphabet=st.sampled_from("<>/abp h1prte=\"'&;-! \n"), max_size=300))
@settings(deadline=None)
def test_html_structure_stays_within_the_text(source: str) -> None:
    try:
        document = html(source)
    except TroupeError as error:
        assert "empty" in error.message  # noqa: PT017 - both outcomes are right
        return
    starts = [h.start for h in document.headings]
    assert starts == sorted(starts)
    assert all(document.text[h.start : h.end].split() == h.title.split() for h in document.headings)
    assert all(0 <= a.start < a.end <= len(document.text) for a in document.atoms)


def test_pdf_pages_are_sections() -> None:
    document = parse(pdf("First page.", "Second page.", title="The report"), uri="doc", media_type=PDF)
    assert document.title == "The report"
    assert document.text == "First page.\n\nSecond page."
    assert [(h.title, h.start) for h in document.headings] == [("Page 1", 0), ("Page 2", 13)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"plain text", "not a PDF"),
        (b"", "not a PDF"),
        (b"%PDF-1.7\n%%EOF", "damaged"),
        (pdf("Text.")[:300], "damaged"),
        (encrypted_pdf("Secret."), "encrypted"),
        (pdf(""), "no text"),
    ],
    ids=["text", "empty", "hollow", "cut", "encrypted", "picture"],
)
def test_bad_pdfs(content: bytes, words: str) -> None:
    assert words in problem(content, PDF)


@pytest.mark.parametrize("media_type", [TEXT, MARKDOWN, HTML])
@pytest.mark.parametrize("content", [b"", b" \n\t\n"])
def test_empty_documents_are_refused(content: bytes, media_type: str) -> None:
    assert "empty" in problem(content, media_type)
