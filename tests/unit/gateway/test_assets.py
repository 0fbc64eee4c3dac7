"""The live page's files as responses."""

import gzip

import pytest

from troupe.gateway.assets import Assets

SCRIPT = b"export const answer = 42;\n" * 100
FILES = [("index.html", b"<!doctype html>"), ("assets/index-Ab12.js", SCRIPT), ("assets/icon-Cd34.svg", b"<svg/>")]


@pytest.fixture
def assets() -> Assets:
    return Assets(FILES)


def test_index_is_asked_for_again_each_time(assets: Assets) -> None:
    page = assets.find(b"/")
    assert page is not None
    headers = dict(page.headers)
    assert (page.status, page.body) == (200, b"<!doctype html>")
    assert headers[b"content-type"] == b"text/html; charset=utf-8"
    assert headers[b"cache-control"] == b"no-cache"
    again = assets.find(b"/", if_none_match=b'W/"other", ' + headers[b"etag"])
    assert again is not None
    assert (again.status, again.body, again.headers) == (304, b"", page.headers)


def test_another_index_has_another_etag(assets: Assets) -> None:
    old, new = assets.find(b"/"), Assets([("index.html", b"<!doctype html><p>")]).find(b"/")
    assert old is not None
    assert new is not None
    assert dict(old.headers)[b"etag"] != dict(new.headers)[b"etag"]


@pytest.mark.parametrize("offer", [b"gzip", b"br, gzip;q=0.5", b"GZIP", b"*"])
def test_files_of_hashed_names_never_change_and_go_zipped_where_taken(assets: Assets, offer: bytes) -> None:
    page = assets.find(b"/assets/index-Ab12.js", accept_encoding=offer)
    assert page is not None
    headers = dict(page.headers)
    assert headers[b"content-type"] == b"text/javascript; charset=utf-8"
    assert b"immutable" in headers[b"cache-control"]
    assert headers[b"content-encoding"] == b"gzip"
    assert headers[b"vary"] == b"accept-encoding"
    assert gzip.decompress(page.body) == SCRIPT


@pytest.mark.parametrize("offer", [b"", b"br", b"gzip;q=0", b"gzip; q=0.0, br"])
def test_files_go_as_they_are_where_gzip_is_not_taken(assets: Assets, offer: bytes) -> None:
    page = assets.find(b"/assets/index-Ab12.js", accept_encoding=offer)
    assert page is not None
    assert page.body == SCRIPT
    assert b"content-encoding" not in dict(page.headers)
    assert dict(page.headers)[b"vary"] == b"accept-encoding"


def test_small_files_are_not_zipped(assets: Assets) -> None:
    page = assets.find(b"/assets/icon-Cd34.svg", accept_encoding=b"gzip")
    assert page is not None
    assert page.body == b"<svg/>"
    assert dict(page.headers)[b"content-type"] == b"image/svg+xml"


def test_pages_may_load_and_call_only_what_is_here(assets: Assets) -> None:
    for path in (b"/", b"/assets/index-Ab12.js", b"/assets/icon-Cd34.svg"):
        page = assets.find(path)
        assert page is not None
        headers = dict(page.headers)
        policy = dict(part.split(b" ", 1) for part in headers[b"content-security-policy"].split(b"; "))
        assert policy[b"default-src"] == policy[b"frame-ancestors"] == b"'none'"
        assert policy[b"script-src"] == policy[b"connect-src"] == b"'self'"
        assert headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize("path", [b"/index.html", b"/assets/", b"/assets/../index.html", b"/nowhere", b""])
def test_other_paths_are_not_found(assets: Assets, path: bytes) -> None:
    assert assets.find(path) is None


def test_without_a_built_page_a_text_says_how_to_build_it() -> None:
    page = Assets([]).find(b"/", accept_encoding=b"gzip")
    assert page is not None
    assert dict(page.headers)[b"content-type"] == b"text/plain; charset=utf-8"
    assert b"make console" in page.body
