"""What a search may show, what it looks for again, and what sources hold by their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.agents.memory import ids
from troupe.agents.memory.milvus.filters import below
from troupe.agents.memory.milvus.fusion import Candidate, Facts, Lessons, fuse, visible
from troupe.agents.memory.sources import lies_below, source_of, start_of
from troupe.agents.memory.store import StoredDocument

OLD, NEW, GONE = "v1.1-a", "v2.2-b", "v0.0-c"


def record(uri: str, version: str, *, other: str = "", passages: int = 1, time_ms: int = 0) -> StoredDocument:
    return StoredDocument(
        f"id of {uri}", "p", uri, uri, "text/plain", "", version, passages, 1, {}, time_ms, other_version=other
    )


def hit(uri: str, version: str, number: int = 0) -> Candidate:
    return Candidate(f"{uri}-{version}-{number}", f"id of {uri}", version, uri, 1.0)


def facts(*records: StoredDocument, held: set[tuple[str, str]] | None = None, began_ms: int = 10**6) -> Facts:
    return Facts({each.uri: each for each in records}, held or set(), [["s"]] if held is not None else [], began_ms)


@pytest.mark.parametrize(
    ("known", "shown", "ownerless"),
    [
        ([], [], [GONE, NEW, OLD]),
        ([record("a", "", passages=0, other=NEW)], [], [GONE, OLD]),
        ([record("a", OLD, other=NEW)], [OLD], [GONE]),
        ([record("a", NEW, other=OLD)], [NEW], [GONE]),
        ([record("a", NEW)], [NEW], [GONE, OLD]),
        ([record("a", "", passages=0, other=OLD)], [], [GONE, NEW]),
    ],
    ids=["unknown", "being stored", "being replaced", "replaced", "clean", "being deleted"],
)
def test_the_record_decides_what_is_shown(known: list[StoredDocument], shown: list[str], ownerless: list[str]) -> None:
    found = facts(*known)
    ranking = [hit("a", version) for version in (GONE, NEW, OLD)]
    assert [each.version for each in visible(ranking, found)] == shown
    assert [each.version for each in ranking if found.is_ownerless(each)] == ownerless


def test_another_attempt_leaves_out_what_is_not_there() -> None:
    known = facts(record("a", NEW), record("b", "plain"), held={("s", "a")})
    ranking = [hit("a", NEW), hit("a", OLD), hit("b", "plain"), hit("c", "plain")]
    lessons = Lessons()
    assert lessons.learn([ranking], known, depth=4)
    assert (lessons.versions, lessons.strangers, lessons.keys) == ({OLD: "a"}, {"id of b"}, {"c-plain-0"})
    assert not Lessons().learn([ranking], known, depth=5), "there were no others"
    assert not Lessons().learn([[hit("a", NEW)]], known, depth=1)


def test_what_became_visible_meanwhile_is_looked_at_again_once() -> None:
    known = facts(record("a", NEW, time_ms=10**6 - 1))
    lessons = Lessons()
    assert lessons.learn([[hit("a", NEW)]], known, depth=9)
    assert not lessons.learn([[hit("a", NEW)]], known, depth=9)


def test_a_search_that_saw_only_what_was_replaced_meanwhile_is_made_again() -> None:
    known = facts(record("a", NEW, time_ms=10**6 - 1))
    lessons = Lessons()
    assert lessons.learn([[hit("a", OLD)]], known, depth=9)
    assert not Lessons().learn([[hit("a", OLD)]], facts(record("a", NEW)), depth=9), "it was replaced long ago"
    lessons = Lessons()
    lessons.learn([[hit("a", OLD), hit("a", NEW)]], facts(record("a", OLD, other=NEW)), depth=9)
    assert lessons.versions == {NEW: "a"}
    lessons.learn([[hit("a", OLD)]], known, depth=9)
    assert lessons.versions == {OLD: "a"}, "what was unfinished is the document's now"


def test_what_was_unfinished_is_looked_for_again_though_nothing_of_its_document_is_found_any_more() -> None:
    lessons = Lessons()
    lessons.learn([[hit("a", OLD), hit("a", NEW)]], facts(record("a", OLD, other=NEW)), depth=9)
    assert lessons.learn([[]], facts(record("a", NEW)), depth=9)
    assert not lessons.versions
    assert lessons.learn([[hit("a", NEW)]], facts(record("a", NEW)), depth=9) is False


def test_rankings_are_fused_by_rank() -> None:
    first, second = [hit("a", "v"), hit("b", "v"), hit("c", "v")], [hit("c", "v"), hit("b", "v")]
    assert [each.uri for each in fuse([first, second])] == ["c", "b", "a"]
    assert fuse([first]) == first
    by_meaning, by_words = [hit("a", "v"), hit("b", "v")], [hit("b", "v"), hit("a", "v")]
    found = fuse([by_meaning, by_words])
    assert [each.uri for each in found] == ["b", "a"]
    assert found[0].score > found[1].score


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.text(max_size=3))
def test_a_range_of_uris_is_what_lies_in_a_folder(name: str, uri: str) -> None:
    start = start_of(f"/{name}")
    assert start is not None
    assert start.startswith("file:///")
    assert start.endswith("/")
    low, high = (part.strip("()").split('"')[1] for part in below("uri", start).split(" and "))
    for candidate in (start + uri, start, uri, start[:-1] + uri):
        assert (low <= candidate < high) == candidate.startswith(start) == lies_below(candidate, f"/{name}")


@pytest.mark.parametrize("name", ["", "notes", "https://example.org/a", "file://host/a", "C:\\docs"])
def test_other_names_name_no_folder(name: str) -> None:
    assert start_of(name) is None


def test_the_folder_among_the_metadata_is_the_source_of_clients_that_name_none() -> None:
    assert source_of("a", {"folder": "b"}) == "a"
    assert source_of("", {"folder": "b"}) == "b"
    assert source_of("", {}) == ""


def test_each_attempt_has_a_name_of_its_own() -> None:
    version = ids.version("sha", "t", "m", {})
    one, two = ids.attempt_version(version), ids.attempt_version(version)
    assert one != two
    assert ids.is_attempt(one, version)
    assert ids.is_attempt(version, version)
    assert not ids.is_attempt(one, ids.version("other", "t", "m", {}))
    assert 0 == ids.begun_ms(version) < ids.begun_ms(one) <= ids.begun_ms(two)
