"""Filters, terms, page tokens, ids and the text that is put together again."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from milvus_lite.search.filter.tokens import TokenKind, tokenize

from troupe.agents.memory import ids
from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.ingestion import embedded_text, passages_of
from troupe.agents.memory.milvus.filters import all_of, equals, has_marks, mark, one_of, quoted
from troupe.agents.memory.milvus.schema import has_bm25
from troupe.agents.memory.paging import page_token, read_page_token, read_place
from troupe.agents.memory.parser import SplitDocument
from troupe.agents.memory.reading import assemble
from troupe.agents.memory.splitting import split
from troupe.agents.memory.store import StoredDocument, StoredPassage
from troupe.agents.memory.terms import terms
from troupe.core.errors import TroupeError

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(ANY_TEXT)
def test_a_quoted_value_is_one_literal_with_that_value(value: str) -> None:
    token, end = tokenize(quoted(value))
    assert (token.kind, token.value, end.kind) == (TokenKind.STRING, value, TokenKind.EOF)


@given(st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3))
def test_marks_hold_no_text_of_the_caller(metadata: dict[str, str]) -> None:
    clause = has_marks(metadata, as_text=False)
    assert all(mark(key, value) in clause for key, value in metadata.items())
    assert clause.count('"') == 2 * len(metadata)


def test_pairs_are_told_apart() -> None:
    assert mark("a", "bc") != mark("ab", "c")


def test_clauses_are_joined() -> None:
    assert all_of([equals("project", "p"), "", one_of("id", ["1", "2"])]) == 'project == "p" and id in ["1", "2"]'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Ships' queries, BOXES and glasses", "the ship query boxe and glasse"),
        ("café ＣＡＦÉ", "cafe café cafe café"),
        ("القَاهِرَة", "القاهرة"),
        ("שָׁלוֹם", "שלום"),
        ("Москва́ мой Ёж", "москва мой еж"),
        ("北京大学 a", "北 京 大 学 北京 京大 大学 a"),
        ("ガラス ｶﾞﾗｽ カ゛", "ガラ ラス ガラス ガラ ラス ガラス ガ"),
        ("학교에서 물", "학 교 에 서 학교 교에 에서 학교에서 물"),
        ("दिन", "दq93fqन"),
        ("ป่า ป้า", "ปqe48qา ปqe49qา"),
        ("co\u00adop zero\u200bwidth می\u200cروم", "coop zerowidth میروم"),
        ("10⁶ is 10^6, H₂O, 5½", "10 6 is 10 6 h2o 5 1 2"),
        ("x文y", "x 文 y"),
        ("don't, snake_case 3.14", "don t snake_case 3 14"),
        ("C# and C++, not C; abc# 🚀", "cq23q and cq2bqq2bq not c abc q1f680q"),
        ("?!", ""),
    ],
)
def test_terms(text: str, expected: str) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    "digits",
    ["٨٠٨٠", "۸۰۸۰", "८०८०", "৮০৮০", "๘๐๘๐", "８０８０", "\U0001d7d6\U0001d7d8\U0001d7d6\U0001d7d8"],  # noqa: RUF001
)
def test_digits_of_all_scripts_are_those_of_ascii(digits: str) -> None:
    assert terms(f"port {digits}") == "port 8080"
    assert terms(f"x{digits}y 10\u00b2") == "x8080y 10 2"


@given(ANY_TEXT)
def test_no_analyzer_cuts_a_term(text: str) -> None:
    found = terms(text)
    assert all(term.replace("_", "a").isalnum() for term in found.split())


@given(ANY_TEXT, st.sampled_from(["default", "other"]))
def test_page_tokens_come_back(uri: str, project: str) -> None:
    assert read_page_token([project], page_token([project], uri)) == uri


@given(st.text(min_size=1))
@example(base64.b64encode(b"[" * 100_000).decode())
@example(base64.b64encode(b'["default", "\\ud800"]').decode())
def test_other_tokens_are_refused(token: str) -> None:
    with pytest.raises(TroupeError) as caught:
        read_page_token(["default"], token)
    assert caught.value.reason_name == "INVALID_PAGE_TOKEN"


def test_a_token_of_another_project_is_refused() -> None:
    with pytest.raises(TroupeError):
        read_page_token(["default"], page_token(["other"], "a"))


@given(st.integers(min_value=0, max_value=10**9 - 1))
def test_places_come_back(place: int) -> None:
    assert read_place(["default"], page_token(["default"], str(place))) == place
    assert read_place(["default"], "") == 0


@pytest.mark.parametrize("place", ["-5", "+5", " 5", "1_0", "٣", "²", "a.md", "9" * 5_000])
def test_what_is_no_number_of_a_place_is_refused(place: str) -> None:
    with pytest.raises(TroupeError) as caught:
        read_place(["default"], page_token(["default"], place))
    assert caught.value.reason_name == "INVALID_PAGE_TOKEN"


def test_ids_follow_from_what_they_name() -> None:
    assert ids.document_id("p", "u") == ids.document_id("p", "u") != ids.document_id("q", "u")
    assert ids.is_id(ids.passage_id("d", 0, 1, "t"))
    assert not ids.is_id('" or true or "')


def stored(text: str, uri: str = "a.md", title: str = "T") -> list[StoredPassage]:
    document = StoredDocument("d", "p", uri, title, "text/plain", "", "v", 0, len(text), {}, 0)
    return passages_of(document, SplitDocument(text, title, split(ParsedDocument(text=text))))


@given(
    st.lists(st.sampled_from(["word " * 200, "\n\n\n", " \t", "Ende.", "文" * 300, "\u2003"]), max_size=6), st.data()
)
def test_any_range_of_a_text_is_put_together(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    touching = [p for p in stored(text) if p.start < end and p.end > start]
    found = assemble(reversed(touching), start, end)
    assert len(found) == end - start
    assert found.split() == text[start:end].split()
    assert all(a == b or (a == " " and b.isspace()) for a, b in zip(found, text[start:end], strict=True))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("milvus_lite-3.2.2", True),
        ("v2.3.5-lite", False),
        ("2.4.17-lts", False),
        ("v2.5.0", True),
        ("3.0", True),
        ("dev", True),
    ],
)
def test_bm25_depends_on_the_server(version: str, expected: bool) -> None:
    assert has_bm25(version) is expected


def test_a_passage_is_embedded_below_its_title() -> None:
    (passage,) = stored("Some text.")
    assert embedded_text(passage) == "T\nSome text."
    (passage,) = stored("Some text.", uri="a.md", title="a.md")
    assert embedded_text(passage) == "Some text."
