"""Values, markup, code, mails and notebooks: each value under its heading, each title where it stands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.code import laid_out
from troupe.agents.memory.parsing.front_matter import front_matter
from troupe.agents.memory.parsing.media import media_type_of
from troupe.agents.memory.parsing.parse import parse
from troupe.agents.memory.splitting import split
from troupe.core.errors import TroupeError
from troupe.core.media import ASCIIDOC, CSV, EMAIL, JSON, JSON_LINES, MARKDOWN, NOTEBOOK, RST, TSV, YAML


def read(text: str, media_type: str) -> ParsedDocument:
    return parse(text.encode(), uri="doc", media_type=media_type)


@pytest.mark.parametrize(
    ("text", "media_type", "lines"),
    [
        ("Plan,EU,Asia\nbasic,,500\n,900,700\n", CSV, "Plan | EU | Asia\nbasic |  | 500\n | 900 | 700"),
        ("Plan;Preis\nbasic;1,50\npro;2,50\n", CSV, "Plan | Preis\nbasic | 1,50\npro | 2,50"),
        ("sep=;\r\na;b\r\n1;2\r\n", CSV, "a | b\n1 | 2"),
        ('a,b\n"x, y","two\nlines"\n', CSV, "a | b\nx, y | two lines"),
        ('a,b\n"say ""no""",1\n', CSV, 'a | b\nsay "no" | 1'),
        ("a\tb\n1\t\n", TSV, "a | b\n1 |"),
        ("a,b,c\n1\n", CSV, "a | b | c\n1 |  |"),
        ("only\none\ncolumn\n", CSV, "only\none\ncolumn"),
    ],
)
def test_separated_values(text: str, media_type: str, lines: str) -> None:
    assert read(text, media_type).text == lines


def test_parts_of_a_long_table_are_told_under_its_columns() -> None:
    rows = "".join(f"plan {n},{n} requests a day,\n" for n in range(300))
    passages = split(read(f"Plan,Europe,Asia\n{rows}", CSV))
    assert len(passages) > 5
    assert {passage.heading for passage in passages[1:]} == {"Plan | Europe | Asia"}


@pytest.mark.parametrize(
    ("front", "title"),
    [
        ("---\ntitle: Fees\n---\n", "Fees"),
        ('---\n# a comment\ntitle: "Fees: all of them" # another\ntags: [a]\n---\n', "Fees: all of them"),
        ("---\ntitle: >\n  Fees of\n  the shop\ndate: 2024-05-01\n---\n", "Fees of the shop"),
        ("---\ntitle: |\n  Fees\n  of it\n...\n", "Fees of it"),
        ("---\ntitle: 'It''s all'\n---\n", "It's all"),
        ("---\ntitle: 1.10\n---\n", "1.10"),
        ("---\nTitle: Fees\n---\r\n", "Fees"),
        ("---\ntitle: Fees: all of them\nlayout: x\n---\n", "Fees: all of them"),
        ('+++\n# a comment\ntitle = "Fees"\n[params]\nx = 1\n+++\n', "Fees"),
        ('+++\ntitle = """\nFees of\nit"""\n+++\n', "Fees of it"),
        ("---\nlayout: page\n---\n", "Heading"),
        ("---\ntitle:\n---\n", "Heading"),
        ("+++\nno toml\n+++\n", "Heading"),
        ("---\rtitle: Fees\r---\r", "Fees"),
        ("---yaml\ntitle: Fees\n---\n", "Fees"),
        ("\n \n---\ntitle: Fees\n---\n", "Fees"),
        ('---json\n{"title": "Fees"}\n---\n', "Fees"),
        ("--- toml\ntitle = 'Fees'\n---\n", "Fees"),
        (';;;\n{"title": "Fees", "draft": false}\n;;;\n', "Fees"),
        (';;;\n"title": "Fees"\n;;;\n', "Fees"),
        (";;;\nno json\n;;;\n", "Heading"),
        ("% Fees\n  of it\n% Ada Byron\n", "Fees of it"),
        ("Author: Ada Byron\nTitle: Fees of\n       it\n", "Fees of it"),
        ("Note: the fees rise.\n", "Heading"),
        ("100% of the fees\n", "Heading"),
        ("", "Heading"),
    ],
)
def test_front_matter(front: str, title: str) -> None:
    text = f"{front}\n# Heading\n\nText.\n"
    document = read(text, MARKDOWN)
    assert document.text == text
    assert document.title == title
    assert [h.title for h in document.headings] == ["Heading"]


@pytest.mark.parametrize(
    "head", ["\r\n" * 20_000, " " * 40_000, "---" + " " * 40_000, "---\n" + "-\r\n" * 10_000, "a: b\n c\n" * 5_000]
)
def test_a_long_head_that_is_none_is_read_at_once(head: str) -> None:
    assert front_matter(f"{head}x") == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nRefunds take ten days.\n\n---\n\n# Heading\n",
        "---\nRefunds take: ten days.\n---\n",
        "---\n\ntitle: x\n\n---\n\nText\n",
        "---\n- a list\n---\n\nText\n",
        "---\n# Heading\n",
        "* * *\ntitle: x\n* * *\n",
        "+++\nWords.\n",
    ],
)
def test_a_leading_rule_is_no_front_matter(text: str) -> None:
    document = read(text, MARKDOWN)
    assert document.title != "x"
    assert not any(a.start == 0 and a.end > 4 for a in document.atoms)


def test_restructured_text() -> None:
    text = (
        "=====\nTitle\n=====\n\nIntro::\n\n    code here\n\n    more\n\nPart\n----\n\nText.\n\nSub\n~~~\n\n"
        "====  ====\na     b\n====  ====\n1     2\n====  ====\n\nAfter.\n"
    )
    document = read(text, RST)
    assert document.text == text
    assert document.title == "Title"
    assert [(h.level, h.title) for h in document.headings] == [(1, "Title"), (2, "Part"), (3, "Sub")]
    assert [text[a.start : a.end].split(maxsplit=1)[0] for a in document.atoms] == ["Intro::", "===="]


def test_asciidoc() -> None:
    text = "= Title\n:toc:\n\n== Part\n\nText.\n\n----\n== no heading\n----\n\n|===\n|a |b\n|===\n"
    document = read(text, ASCIIDOC)
    assert document.text == text
    assert document.title == "Title"
    assert [(h.level, h.title) for h in document.headings] == [(1, "Title"), (2, "Part")]
    assert [text[a.start : a.end] for a in document.atoms] == ["----\n== no heading\n----\n", "|===\n|a |b\n|===\n"]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ('{"a": 1.10,\n "b": [true]}', '{"a": 1.10,\n "b": [true]}'),
        ('{"a":"\\u00e4","n":1.10,"a":2}', '{\n  "a": "ä",\n  "n": 1.10,\n  "a": 2\n}'),
        ('"\\ud83d\\ude00 \\ud83d"', '"\\ud83d\\ude00 \\ud83d"'),
        ('"a\\u000ab"', '"a\\nb"'),
    ],
)
def test_json_keeps_every_token(text: str, stored: str) -> None:
    assert read(text, JSON).text == stored


def test_json_on_one_line_is_laid_out() -> None:
    value = {"plans": [{"name": f"plan {n}", "requests": n} for n in range(100)]}
    document = read(json.dumps(value), JSON)
    assert json.loads(document.text) == value
    assert '\n      "name": "plan 7"' in document.text


@given(st.text(alphabet=st.sampled_from('{}[],:"\\ ab1\n'), max_size=80))
def test_laying_out_loses_nothing_of_what_is_no_json(text: str) -> None:
    assert "".join(laid_out(text).split()) == "".join(text.split())


@pytest.mark.parametrize("media_type", [JSON_LINES, YAML, "text/x-python", "text/x-sql"])
def test_code_is_kept_as_it_is_and_together(media_type: str) -> None:
    text = "def one():\n    x = 1\n\n    return x\n\n\ndef two():\n    return 2\n"
    document = read(text, media_type)
    assert document.text == text
    assert [text[a.start : a.end].split("(", maxsplit=1)[0] for a in document.atoms] == ["def one", "def two"]


def test_notebooks() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Fees\n", "Five euros."]},
        {"cell_type": "code", "source": "print(5)", "outputs": [{"text": ["5\n"]}]},
    ]
    document = read(json.dumps({"cells": cells, "metadata": {"language_info": {"name": "python"}}}), NOTEBOOK)
    assert document.text == "# Fees\nFive euros.\n\n```python\nprint(5)\n```\n\n```\n5\n```"
    assert document.title == "Fees"
    assert read("{}", NOTEBOOK).text == "{}"


MAIL = """From: Ada <ada@example.org>
To: shop@example.org
Subject: =?utf-8?q?Refund_f=C3=BCr_uns?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

It costs 30 =80 a month.
--c
Content-Type: text/html

<p>It costs <b>30</b> a month.</p>
--c--
--b
Content-Type: text/csv
Content-Disposition: attachment; filename="plans.csv"

Plan,EU
basic,
--b
Content-Type: image/png
Content-Disposition: attachment; filename="a.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--b--
"""


def test_mails() -> None:
    document = read(MAIL, EMAIL)
    assert document.title == "Refund für uns"
    assert document.text == (
        "From: Ada <ada@example.org>\nTo: shop@example.org\nSubject: Refund für uns\n\nIt costs 30 € a month.\n\n"
        "Attachment: plans.csv\n\nPlan | EU\nbasic |\n\nAttachment: a.png (it is a picture, which is not read)"
    )
    assert [document.text[a.start : a.end] for a in document.atoms] == ["Plan | EU\nbasic |"]


def test_mails_in_html_and_saved_pages() -> None:
    assert read("Subject: x\nContent-Type: text/html\n\n<p>10<sup>6</sup></p>", EMAIL).text == "10^6"
    head = "From: <Saved by Blink>\nContent-Type: multipart/related; boundary=b\n\n"
    page = f"{head}--b\nContent-Type: text/html\n\n<p>a</p>\n--b--"
    assert read(page, EMAIL).text.endswith("\n\na")


@pytest.mark.parametrize("text", ["no mail at all", "\n\n", "Note: x\n\ny"])
def test_what_is_no_mail_is_told(text: str) -> None:
    with pytest.raises(TroupeError, match="no mail"):
        read(text, EMAIL)


@pytest.mark.parametrize(
    ("uri", "declared", "content", "words"),
    [
        ("file:///a.png", "", b"\x89PNG", "a picture"),
        ("file:///old.doc", "", b"\xd0\xcf", "save it as .docx"),
        ("file:///a.zip", "", b"PK\x03\x04", "an archive"),
        ("a", "image/svg+xml", b"<svg/>", "not read"),
        ("a", "application/zip", b"", "not read"),
    ],
)
def test_kinds_that_are_not_read_are_named(uri: str, declared: str, content: bytes, words: str) -> None:
    with pytest.raises(TroupeError, match=words):
        media_type_of(uri, declared, content)


@pytest.mark.parametrize(
    ("uri", "declared", "content", "media_type"),
    [
        ("file:///a%20b.rst", "", b"", RST),
        ("file:///a.txt", "", b"%PDF-1.4", "application/pdf"),
        ("a", "application/ld+json", b"", JSON),
        ("a", "application/atom+xml", b"", "application/xml"),
        ("a", "application/javascript", b"", "text/x-javascript"),
        ("a", "", b'<?xml version="1.0"?><html>', "text/html"),
        ("file:///odd.zzz", "", b"words", "text/plain"),
    ],
)
def test_kinds_are_told_by_all_that_is_known(uri: str, declared: str, content: bytes, media_type: str) -> None:
    assert media_type_of(uri, declared, content) == media_type
